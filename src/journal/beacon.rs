//! The CONTROL file: writes its two slots in turn.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::Tail;
use crate::error::{Error, Result, code};
use crate::format::control::{CONTROL_BYTES, Control, SLOT_STRIDE};
use crate::format::names;
use crate::format::store_header::StoreHeader;
use crate::lsn::Lsn;
use crate::sys::{self, Access, Disk, DiskFile, Entry};
use crate::time::Timestamp;

/// The chain of seals up to a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) hash: [u8; 32],
    pub(crate) segment: u32,
}

/// The writer's side of CONTROL.
#[derive(Debug)]
pub(crate) struct Beacon {
    file: Arc<dyn DiskFile>,
    last: Mutex<Control>,
}

impl Beacon {
    /// Creates CONTROL for a store whose journal ends at `tail`. Both slots are written, so that
    /// from then on two damaged slots can only mean damage.
    pub(crate) fn create(
        disk: &dyn Disk,
        root: &Path,
        identity: &StoreHeader,
        tail: &Tail,
        chain: Chain,
    ) -> Result<()> {
        let mut control = Control { clean: true, ..control(identity, tail, chain) };
        let mut bytes = vec![0; CONTROL_BYTES];
        for sequence in [1, 2] {
            control.sequence = sequence;
            let start = usize::try_from(Control::slot(sequence)).unwrap_or(SLOT_STRIDE);
            let slot = control.encode();
            if let Some(room) = bytes.get_mut(start..start + slot.as_slice().len()) {
                room.copy_from_slice(slot.as_slice());
            }
        }
        sys::atomic::publish(disk, &root.join(names::CONTROL), &[&bytes])
    }

    /// What is known of a store whose CONTROL says nothing.
    pub(crate) fn lost(identity: &StoreHeader) -> Control {
        control(identity, &Tail::EMPTY, Chain::default())
    }

    /// What CONTROL says.
    pub(crate) fn read(disk: &dyn Disk, root: &Path, identity: &StoreHeader) -> Result<Control> {
        let path = root.join(names::CONTROL);
        if disk.entry(&path)? == Entry::Nothing {
            let message = "the CONTROL file is missing";
            return Err(Error::new(&code::CONTROL_DAMAGED, message).at_path(&path));
        }
        let bytes = sys::read_file(disk, &path, CONTROL_BYTES)?;
        let control = Control::newest(&bytes).map_err(|malformed| {
            Error::new(&code::CONTROL_DAMAGED, format!("{} is wrong", malformed.what))
                .at_path(&path)
                .at_offset(malformed.offset as u64)
        })?;
        if control.store != identity.store || control.timeline != identity.timeline {
            return Err(
                Error::new(&code::WRONG_STORE, "CONTROL belongs to another store").at_path(&path)
            );
        }
        Ok(control)
    }

    /// Opens CONTROL for writing, after `last` was read from it.
    pub(crate) fn open(disk: &dyn Disk, root: &Path, last: Control) -> Result<Self> {
        let file = disk.open(&root.join(names::CONTROL), Access::Write)?;
        Ok(Self { file, last: Mutex::new(last) })
    }

    /// The highest LSN that CONTROL vouches for.
    pub(crate) fn lsn(&self) -> Lsn {
        self.lock().durable_lsn
    }

    /// Writes and syncs the next slot. `durable` must be durable already; `chain` of `None` leaves
    /// what was noted before.
    pub(crate) fn write(
        &self,
        durable: &Tail,
        chain: Option<Chain>,
        clean: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut last = self.lock();
        let chain = chain.unwrap_or(Chain { hash: last.chain, segment: last.chain_segment });
        if durable.lsn < last.durable_lsn {
            // Another thread has noted a later transaction meanwhile; only the chain may be news.
            return Ok(());
        }
        let control = Control {
            clean,
            sequence: last.sequence + 1,
            durable_lsn: durable.lsn,
            durable_crc: durable.crc,
            durable_end: durable.end,
            chain: chain.hash,
            chain_segment: chain.segment,
            written: now,
            ..*last
        };
        self.file.write_at(Control::slot(control.sequence), control.encode().as_slice())?;
        self.file.sync()?;
        *last = control;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn control(identity: &StoreHeader, tail: &Tail, chain: Chain) -> Control {
    Control {
        clean: false,
        sequence: 0,
        store: identity.store,
        timeline: identity.timeline,
        durable_lsn: tail.lsn,
        durable_crc: tail.crc,
        durable_end: tail.end,
        chain: chain.hash,
        chain_segment: chain.segment,
        written: identity.created,
    }
}
