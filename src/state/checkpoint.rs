//! Writing the state out and reading it back.

use super::{Head, Records, State};
use crate::format::checkpoint::{ArchivedStateImage, CollectionImage, StateImage};
use crate::lsn::{Lsn, Position};

impl State {
    /// The state as it is written to a checkpoint.
    pub(crate) fn to_image(&self) -> StateImage {
        let collections = self.collections.iter().map(|(id, records)| {
            let mut image = CollectionImage { id: *id, ..CollectionImage::default() };
            for (key, head) in &records.heads {
                image.keys.extend_from_slice(key);
                image.key_ends.push(image.keys.len() as u64);
                image.heads.push(head.position.bits());
                image.versions.push(head.version);
            }
            image
        });
        StateImage { collections: collections.collect() }
    }

    /// The state of a checkpoint at `lsn`; says what is wrong if it contradicts itself.
    pub(crate) fn from_image(image: &ArchivedStateImage, lsn: Lsn) -> Result<Self, &'static str> {
        let mut state = Self { lsn, ..Self::default() };
        for collection in image.collections.iter() {
            let count = collection.key_ends.len();
            if collection.heads.len() != count || collection.versions.len() != count {
                return Err("parallel vectors differ in length");
            }
            let mut live = 0;
            let mut start = 0;
            let mut heads = Vec::with_capacity(count);
            let numbers = collection.heads.iter().zip(collection.versions.iter());
            for (end, (position, version)) in collection.key_ends.iter().zip(numbers) {
                let end = usize::try_from(end.to_native()).map_err(|_| "key ends")?;
                let key = collection.keys.get(start..end).ok_or("key ends")?;
                let head = Head {
                    position: Position::from_bits(position.to_native()),
                    version: version.to_native(),
                };
                if key.is_empty() || head.lsn() > lsn || head.lsn() == Lsn::ZERO {
                    return Err("record that can't be");
                }
                live += u64::from(!head.is_deleted());
                heads.push((Box::<[u8]>::from(key), head));
                start = end;
            }
            if !heads.is_sorted_by(|(a, _), (b, _)| a < b) {
                return Err("keys are not in order");
            }
            // Collecting what is sorted builds the tree from its leaves, without a search.
            let records = Records { heads: heads.into_iter().collect(), live };
            state.collections.insert(collection.id.to_native(), records);
        }
        Ok(state)
    }
}
