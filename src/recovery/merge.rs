//! Merging images, where they can be.

use super::plan::Value;
use super::undo::OnConflict;
use crate::format::image::{CodecId, Image, OwnedImage};
use crate::history::{shown, tree};
use crate::json::{FieldConflict, Side, Tree, bring_back, merge_three};

/// What `ours` and `theirs` made of `base`, field by field; none if one of them is absent, not
/// JSON, or of another schema version. A base that is absent had no fields.
pub(super) fn three<'a>(
    base: Option<Image<'a>>,
    ours: Option<Image<'_>>,
    theirs: Option<Image<'a>>,
    on_conflict: OnConflict,
) -> Option<(Value<'a>, Vec<FieldConflict>)> {
    let (ours, theirs) = (ours?, theirs?);
    let schemas = [base.map_or(ours.schema(), |base| base.schema()), theirs.schema()];
    if schemas != [ours.schema(); 2] {
        return None;
    }
    let base = base.map_or(Some(Tree::Object(Vec::new())), tree)?;
    let prefer = match on_conflict {
        OnConflict::Fail | OnConflict::Ours => Side::Ours,
        OnConflict::Theirs => Side::Theirs,
    };
    let their_tree = tree(theirs)?;
    let (merged, conflicts) = merge_three(&base, &tree(ours)?, &their_tree, prefer);
    // Where nothing else was changed it is that very value again, to the byte: digests tell.
    let value = if merged == their_tree { Value::Stored(theirs) } else { image(&merged, ours) };
    Some((value, conflicts))
}

/// Whether both are JSON that means the same: neither the order of fields nor the form of the text
/// counts.
pub(super) fn mean_the_same(one: Option<Image<'_>>, other: Option<Image<'_>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one.schema() == other.schema() && tree(one).is_some_and(|one| tree(other) == Some(one))
}

/// What `now` is with everything that it lacks of `past`; none if there is nothing.
pub(super) fn with_what_was_lost<'a>(
    now: Option<Image<'a>>,
    past: Option<Image<'a>>,
) -> Option<Value<'a>> {
    let (Some(now), Some(past)) = (now, past) else { return now.or(past).map(Value::Stored) };
    let trees = if now.schema() == past.schema() { tree(now).zip(tree(past)) } else { None };
    let Some((new, old)) = trees else { return Some(Value::Stored(now)) };
    let merged = bring_back(&new, &old);
    Some(if merged == new {
        Value::Stored(now)
    } else if merged == old {
        Value::Stored(past)
    } else {
        image(&merged, now)
    })
}

/// The conflict of values that can only be taken as a whole.
pub(super) fn whole(
    base: Option<Image<'_>>,
    ours: Option<Image<'_>>,
    theirs: Option<Image<'_>>,
) -> FieldConflict {
    let [base, ours, theirs] = [base, ours, theirs].map(|image| image.map(shown));
    FieldConflict { path: String::new(), base, ours, theirs }
}

fn image<'a>(tree: &Tree, like: Image<'_>) -> Value<'a> {
    let bytes = tree.to_string().into_bytes();
    Value::Merged(OwnedImage { bytes, codec: CodecId::Json, schema: like.schema() })
}
