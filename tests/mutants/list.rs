//! What is broken on purpose, each in one place of the sources.

pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// Stands in the file exactly once.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

const fn mutant(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { name, file, from, to }
}

pub(crate) const MUTANTS: [Mutant; 41] = [
    mutant(
        "a sync is skipped",
        "src/journal/sync.rs",
        "        self.file.sync()\n",
        "        Ok(())\n",
    ),
    mutant(
        "a failed sync is tried again",
        "src/journal/sync.rs",
        "Err(error) => self.note_poison(&mut state, error),",
        "Err(_) => VecDeque::new(),",
    ),
    mutant(
        "a commit is acknowledged before it is durable",
        "src/store/commit.rs",
        "engine.journal.sync.wait(commit.lsn)?;",
        "",
    ),
    mutant(
        "readers see what is not durable",
        "src/store/engine.rs",
        "=> applied.min(self.journal.sync.durable()),",
        "=> applied,",
    ),
    mutant(
        "the checksum of a frame is not checked",
        "src/format/frame.rs",
        "if checksum(seed, header.length, bytes) != header.crc {",
        "if seed == header.crc && header.length == 1 {",
    ),
    mutant(
        "the checksum leaves the length out",
        "src/format/frame.rs",
        "hasher.update(&length.to_le_bytes());",
        "hasher.update(&(length & 0).to_le_bytes());",
    ),
    mutant(
        "frames are not salted",
        "src/format/segment.rs",
        "crc32fast::hash(encoded.as_slice().get(..SEGMENT_CRC).unwrap_or_default())",
        "u32::from(encoded.as_slice().is_empty())",
    ),
    mutant(
        "a new segment's name is not synced",
        "src/journal/prepare.rs",
        "self.disk.sync_dir(&self.root.join(names::JOURNAL))?;",
        "",
    ),
    mutant(
        "a new segment's header is not synced",
        "src/journal/prepare.rs",
        "file.write_at(0, encoded.as_slice())?;\n        file.sync()?;",
        "file.write_at(0, encoded.as_slice())?;",
    ),
    mutant(
        "a seal is not synced",
        "src/journal/seal.rs",
        "map.publish(end + frame.len());\n    segment.file.sync()?;",
        "map.publish(end + frame.len());",
    ),
    mutant(
        "what is published is not synced before it gets its name",
        "src/sys/atomic.rs",
        "        self.file.sync()?;\n        self.disk.rename",
        "        self.disk.rename",
    ),
    mutant(
        "the cache is believed after a failed sync",
        "src/journal/survey.rs",
        "            file.drop_cache()?;\n",
        "",
    ),
    mutant(
        "the journal is cut in the middle",
        "src/journal/cut.rs",
        "if facts.vouched > facts.sound {",
        "if facts.vouched > facts.sound && facts.clean {",
    ),
    mutant(
        "damage of a sealed segment is cut",
        "src/journal/cut.rs",
        "if facts.hole && facts.sealed {",
        "if facts.hole && facts.sealed && facts.clean {",
    ),
    mutant(
        "the beacon is not asked",
        "src/journal/cut.rs",
        "if facts.sound < facts.beacon || !facts.beacon_agrees {",
        "if !facts.beacon_agrees {",
    ),
    mutant(
        "a tail that is cut is not kept",
        "src/journal/recover.rs",
        "sys::atomic::publish(&*self.mould.disk, &target, &[&bytes])?;",
        "",
    ),
    mutant(
        "a segment is appended to after an unclean shutdown",
        "src/journal/recover.rs",
        "let keep_last = survey.decision == Decision::Continue;",
        "let keep_last = survey.decision != Decision::Cut;",
    ),
    mutant(
        "frames are not linked",
        "src/journal/scan.rs",
        "if header.previous_crc != tail.crc {",
        "if header.previous_crc != tail.crc && header.crc == 1 {",
    ),
    mutant(
        "closing does not say that it was clean",
        "src/store/engine.rs",
        "write_beacon(None, true)",
        "write_beacon(None, false)",
    ),
    mutant(
        "the hash of a sealed segment is not checked",
        "src/verify/check.rs",
        "if hash_differs || seal.previous_chain != chain {",
        "if seal.previous_chain != chain {",
    ),
    mutant(
        "the digest is not checked when it is replayed",
        "src/store/replay.rs",
        "        if self.digest != frame.header.digest {\n            return Err(mismatch",
        "        if frame.header.changes == 0 {\n            return Err(mismatch",
    ),
    mutant(
        "a block of the index is not checked",
        "src/state/base.rs",
        "block::is_intact(bytes, *start) && parsed",
        "parsed",
    ),
    mutant(
        "closing vouches for a seal that has just failed",
        "src/store/engine.rs",
        "self.journal.sync.check()?;\n        self.journal.write_beacon",
        "self.journal.write_beacon",
    ),
    mutant(
        "a file that was cut is taken for an interrupted write",
        "src/journal/survey.rs",
        "    needed as u64 > length\n",
        "    needed as u64 > u64::MAX - length\n",
    ),
    mutant(
        "CONTROL does not know the newest segment",
        "src/journal/mod.rs",
        "durable.end = durable.end.max(segment_start(newest.number()));",
        "let _ = newest;",
    ),
    mutant(
        "a reader takes in the next segment before it is written to",
        "src/journal/recover.rs",
        "    leave_to_followers(&mut survey.segments);\n",
        "",
    ),
    mutant(
        "a reader believes the cache after a failed sync",
        "src/journal/recover.rs",
        "if control.clean || live { Settle::Not } else { Settle::ToRead }",
        "if control.clean || live { Settle::Not } else { Settle::Not }",
    ),
    mutant(
        "verify skips what it has not verified",
        "src/verify/ledger.rs",
        "known.chain == hex(seal)",
        "!known.chain.is_empty()",
    ),
    mutant(
        "zeros are read in the place of bytes that went away",
        "src/sys/watch.rs",
        "    GONE.get().end == NOTHING.end\n",
        "    GONE.get().end < usize::MAX\n",
    ),
    mutant(
        "a key that begins as a block does is not looked for in the one before",
        "src/state/base.rs",
        "*found = if before == behind { Found::Absent } else { Found::Unclear };",
        "*found = Found::Absent;",
    ),
    mutant(
        "a checkpoint leaves tombstones out",
        "src/state/checkpoint.rs",
        "            block.push(&key, head.numbers());\n",
        "            if !head.is_deleted() { block.push(&key, head.numbers()); }\n",
    ),
    mutant(
        "an older layer hides a newer one",
        "src/state/mod.rs",
        "for base in layers.bases {\n            if let",
        "for base in layers.bases.iter().rev() {\n            if let",
    ),
    mutant(
        "a damaged checkpoint stops the opening",
        "src/store/open.rs",
        "Err(error) if error.code().id == code::CHECKPOINT_DAMAGED.id => {",
        "Err(error) if error.code().id == code::LOCKED.id => {",
    ),
    mutant(
        "a read that does not hold any more is no conflict",
        "src/store/commit.rs",
        "&& head.lsn() > transaction.snapshot\n",
        "&& head.lsn() > transaction.snapshot.max(Lsn::new(1 << 60))\n",
    ),
    mutant("commit times go back", "src/store/commit.rs", "wanted.max(tail.time)", "wanted"),
    mutant(
        "the index is believed where it leads to another record",
        "src/store/engine.rs",
        "if !is_it(&version) {",
        "if !is_it(&version) && lsn == Lsn::ZERO {",
    ),
    mutant(
        "a repair does not put back what later transactions tell",
        "src/verify/repair.rs",
        "holes.iter().any(|hole| hole.held(change.previous))",
        "holes.iter().any(|hole| hole.held(change.previous) && hole.bytes == 1)",
    ),
    mutant(
        "a range that does not hold any more is no conflict",
        "src/store/commit.rs",
        "let (bounds, snapshot) = (range.as_bounds(), transaction.snapshot);",
        "let (bounds, snapshot) = (range.as_bounds(), head);",
    ),
    mutant(
        "a collection that is made meanwhile gets another number",
        "src/store/transaction.rs",
        "if known.is_none()\n            && let",
        "if let",
    ),
    mutant(
        "a time does not include the transaction of that time",
        "src/journal/index.rs",
        "let reached = frame.header.time <= time;",
        "let reached = frame.header.time < time;",
    ),
    mutant(
        "a seek begins with the first frame of the segment",
        "src/journal/index.rs",
        "Some((segment, segment.newest_entry(before)?))",
        "Some((segment, segment.first()?))",
    ),
];
