//! Torn tail or damage: the decision of recovery, as a table.
//!
//! | row | sealed | beacon reached | vouched behind | clean mark | bytes left | decision |
//! |-----|--------|----------------|----------------|------------|------------|----------|
//! | a   | yes    |                |                |            | hole       | damage   |
//! | b   |        | no             |                |            |            | damage   |
//! | h   |        | yes            |                |            | fewer than there were | damage |
//! | c   | no     | yes            | yes            |            | hole       | damage   |
//! | d   | no     | yes            | no             | yes        | hole       | damage   |
//! | e   | no     | yes            | no             | no         | hole       | cut      |
//! | f   |        | yes            |                | yes        | none       | continue |
//! | g   |        | yes            |                | no         | none       | end      |
//!
//! The *durable watermark* is what makes the difference: a transaction that was known durable, to
//! the beacon or to any genuine frame written later, can't be missing because of an interrupted
//! write. Only what nobody vouches for is cut.
//!
//! The rule is `TigerBeetle`'s and that of protocol-aware recovery (Alagappan et al., FAST 2018):
//! tell an interrupted write from damage by evidence that is kept apart from the write.

use crate::lsn::Lsn;

/// What recovery found.
#[expect(clippy::struct_excessive_bools, reason = "the columns of the table above")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The last transaction before the end of the sound frames.
    pub(crate) sound: Lsn,
    /// Whether something other than frames and zeros follows.
    pub(crate) hole: bool,
    /// Whether the segment with the hole is sealed, or a sealed one follows it.
    pub(crate) sealed: bool,
    /// The highest LSN for which a genuine frame behind the hole vouches.
    pub(crate) vouched: Lsn,
    /// The highest LSN for which the beacon vouches.
    pub(crate) beacon: Lsn,
    /// Whether a file is shorter than it was, or not there any more.
    pub(crate) short: bool,
    /// Whether the transaction that the beacon names has the checksum that it names.
    pub(crate) beacon_agrees: bool,
    /// Whether the store was closed properly.
    pub(crate) clean: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Acknowledged data is damaged or missing: do not write.
    Damage(Why),
    /// An interrupted write that nobody vouches for: set it aside and go on behind it.
    Cut,
    /// The frames end properly after an unclean shutdown: seal, and go on in a new segment.
    End,
    /// The store was closed properly: go on in the same segment.
    Continue,
}

/// Why it is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A sealed segment has a hole.
    Sealed,
    /// The journal does not reach, or does not agree with, the transaction the beacon names.
    Beacon,
    /// A later frame says that the missing transaction was durable.
    Vouched,
    /// A file is shorter than it was, or not there any more: no crash does that.
    Short,
    /// Something stands behind the end of a store that was closed properly.
    Clean,
}

/// Row by row, the first that fits.
pub(crate) fn decide(facts: Facts) -> Decision {
    if facts.hole && facts.sealed {
        return Decision::Damage(Why::Sealed); // row a
    }
    if facts.sound < facts.beacon || !facts.beacon_agrees {
        return Decision::Damage(Why::Beacon); // row b
    }
    if facts.short {
        return Decision::Damage(Why::Short); // row h
    }
    if !facts.hole {
        return if facts.clean { Decision::Continue } else { Decision::End }; // rows f, g
    }
    if facts.vouched > facts.sound {
        return Decision::Damage(Why::Vouched); // row c
    }
    if facts.clean {
        return Decision::Damage(Why::Clean); // row d
    }
    Decision::Cut // row e
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Facts = Facts {
        sound: Lsn::new(7),
        hole: false,
        sealed: false,
        vouched: Lsn::ZERO,
        beacon: Lsn::new(7),
        short: false,
        beacon_agrees: true,
        clean: false,
    };
    const TORN: Facts = Facts { hole: true, ..SOUND };

    #[test]
    fn row_a_hole_in_a_sealed_segment() {
        let facts = Facts { sealed: true, ..TORN };
        assert_eq!(decide(facts), Decision::Damage(Why::Sealed));
    }

    #[test]
    fn row_b_journal_ends_before_the_beacon() {
        let facts = Facts { beacon: Lsn::new(8), ..SOUND };
        assert_eq!(decide(facts), Decision::Damage(Why::Beacon));
        assert_eq!(decide(Facts { hole: true, ..facts }), Decision::Damage(Why::Beacon));
    }

    #[test]
    fn row_b_journal_disagrees_with_the_beacon() {
        let facts = Facts { beacon_agrees: false, ..SOUND };
        assert_eq!(decide(facts), Decision::Damage(Why::Beacon));
    }

    #[test]
    fn row_h_a_file_that_was_cut_or_removed() {
        for facts in [SOUND, TORN, Facts { clean: true, ..SOUND }] {
            assert_eq!(decide(Facts { short: true, ..facts }), Decision::Damage(Why::Short));
        }
    }

    #[test]
    fn row_c_bad_frame_below_watermark() {
        let facts = Facts { vouched: Lsn::new(8), ..TORN };
        assert_eq!(decide(facts), Decision::Damage(Why::Vouched));
    }

    #[test]
    fn row_d_bytes_behind_a_clean_shutdown() {
        let facts = Facts { clean: true, ..TORN };
        assert_eq!(decide(facts), Decision::Damage(Why::Clean));
    }

    #[test]
    fn row_e_interrupted_write() {
        assert_eq!(decide(TORN), Decision::Cut);
        assert_eq!(decide(Facts { vouched: Lsn::new(7), ..TORN }), Decision::Cut);
    }

    #[test]
    fn row_f_clean_shutdown() {
        assert_eq!(decide(Facts { clean: true, ..SOUND }), Decision::Continue);
    }

    #[test]
    fn row_g_killed_between_writes() {
        assert_eq!(decide(SOUND), Decision::End);
    }

    #[test]
    fn every_combination_fits_exactly_one_row_and_no_vouched_data_is_ever_cut() {
        let lsns = [0, 6, 7, 8].map(Lsn::new);
        for (bits, vouched, beacon) in (0..32)
            .flat_map(|bits| lsns.map(|vouched| (bits, vouched)))
            .flat_map(|(bits, vouched)| lsns.map(|beacon| (bits, vouched, beacon)))
        {
            let [hole, sealed, short, beacon_agrees, clean] =
                [1, 2, 4, 8, 16].map(|bit| bits & bit != 0);
            let sound = Lsn::new(7);
            let facts = Facts { sound, hole, sealed, vouched, beacon, short, beacon_agrees, clean };
            let lost = short || beacon > sound || (hole && vouched > sound);
            let decision = decide(facts);
            if lost || !beacon_agrees || (hole && (sealed || clean)) {
                assert!(matches!(decision, Decision::Damage(_)), "{facts:?}");
            } else if hole {
                assert_eq!(decision, Decision::Cut, "{facts:?}");
            } else if clean {
                assert_eq!(decision, Decision::Continue, "{facts:?}");
            } else {
                assert_eq!(decision, Decision::End, "{facts:?}");
            }
        }
    }
}
