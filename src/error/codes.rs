//! Every error code, in one table: the identity of an error that programs may rely on.
//!
//! Codes are never renumbered and never reused. `docs/errors.md` shows the same table to people;
//! a test keeps both equal.

use super::ErrorKind;

/// A stable error code with what a person needs to go on.
///
/// ```
/// let code = afterimage::code::find("AF0015").ok_or("unknown")?;
/// assert_eq!(code.kind.exit_code(), 15);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The code as it is printed, `AF0015`.
    pub id: &'static str,
    /// What the caller should do about errors of this code.
    pub kind: ErrorKind,
    /// What happened, in a few words.
    pub title: &'static str,
    /// Why it happens.
    pub explanation: &'static str,
    /// What to do next.
    pub help: &'static str,
}

/// Declares the codes as statics and collects them in [`ALL`], so that none can be left out.
macro_rules! codes {
    ($($name:ident = Code { id: $id:literal, $kind:ident, $title:literal, $why:literal, $help:literal })+) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            pub static $name: Code = Code {
                id: $id,
                kind: ErrorKind::$kind,
                title: $title,
                explanation: $why,
                help: $help,
            };
        )+
        /// Every code, in the order of their numbers.
        pub static ALL: &[&Code] = &[$(&$name),+];
    };
}

/// The code with this id, or `None`; upper and lower case are the same.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.id.eq_ignore_ascii_case(id))
}

codes! {
    NOT_A_STORE = Code { id: "AF0001", NotFound,
        "no store at this path",
        "The directory does not exist or holds no STORE file.",
        "check the path, or create a store there with `afterimage -s DIR init`" }
    STORE_EXISTS = Code { id: "AF0002", Invalid,
        "a store exists already",
        "A new store was asked for where one is; nothing was changed.",
        "open the store that is there, or choose another directory" }
    NOT_A_DIRECTORY = Code { id: "AF0003", Invalid,
        "a file stands where a store directory is expected",
        "A store is a directory; the path names something else.",
        "choose another path" }
    DIRECTORY_NOT_EMPTY = Code { id: "AF0004", Invalid,
        "the directory is not empty",
        "A store is only ever created in, or restored into, a directory that is new or empty, so that nothing is overwritten.",
        "choose a new or empty directory" }
    LOCKED = Code { id: "AF0005", Locked,
        "the store is being written by another process",
        "One process at a time may write to a store; the kernel holds its lock as long as that process lives.",
        "close the other process (its pid is named), or open read-only" }
    PERMISSION_DENIED = Code { id: "AF0006", Denied,
        "permission denied",
        "The operating system does not let this user do that to the store's files.",
        "change the owner or mode of the directory, or only read" }
    READ_ONLY = Code { id: "AF0007", Invalid,
        "the store was opened read-only",
        "A change was asked of a handle that only reads.",
        "open the store for writing" }
    FORMAT_TOO_NEW = Code { id: "AF0008", Format,
        "the store has a newer format than this build knows",
        "It was written, or upgraded, by a later release. Guessing at its layout could lose data, so nothing was read.",
        "use the release that wrote it, or a newer one" }
    STORE_HEADER_DAMAGED = Code { id: "AF0009", Corrupt,
        "the STORE file is damaged",
        "Its checksum does not match its text, so the store's identity can't be trusted.",
        "restore the STORE file from a copy; the journal beside it is not touched" }
    SEGMENT_DAMAGED = Code { id: "AF0010", Corrupt,
        "a segment's header is damaged",
        "The first bytes of a journal file do not carry a valid header of this store.",
        "`afterimage repair --dry-run` says what of the journal is sound and what is lost" }
    FRAME_DAMAGED = Code { id: "AF0011", Corrupt,
        "a frame of the journal is damaged",
        "Bytes of an acknowledged transaction changed on disk: its checksum or its place in the sequence is wrong.",
        "`afterimage repair --dry-run` says what of the journal is sound and what is lost" }
    JOURNAL_INCOMPLETE = Code { id: "AF0012", Corrupt,
        "acknowledged transactions are missing from the journal",
        "The journal ends, or has a gap, before a transaction that is known to have been durable: a segment was removed, truncated or replaced.",
        "put the missing file back, or restore from a backup; `afterimage repair` keeps what is left" }
    IMAGE_CHAIN_BROKEN = Code { id: "AF0013", Corrupt,
        "a before image is not the after image of the change before it",
        "Each change must start from what the change before it left. Changes are missing, doubled or forged.",
        "run `afterimage verify --deep` for the extent" }
    DIGEST_MISMATCH = Code { id: "AF0014", Corrupt,
        "the state digest does not match",
        "Replaying the journal gives another state than the one that was recorded with the transaction.",
        "run `afterimage verify --deep` for the first transaction that differs" }
    OUTSIDE_WINDOW = Code { id: "AF0015", OutsideWindow,
        "the moment lies outside what is kept",
        "The journal reaches from the first to the newest transaction named in the message; the moment asked for is not among them.",
        "choose a moment inside the window" }
    CHECKPOINT_DAMAGED = Code { id: "AF0016", Corrupt,
        "a checkpoint is damaged",
        "A checkpoint is a cache of what the journal says; it was set aside and the state rebuilt from the journal.",
        "nothing is lost; `afterimage checkpoint` writes a new one" }
    CONTROL_DAMAGED = Code { id: "AF0017", Corrupt,
        "the CONTROL file is damaged or missing",
        "Neither of its two slots is valid, so it is unknown how far the journal was durable. The journal itself is not touched by that.",
        "put the file back from a copy of the store; else `afterimage repair` makes the store anew from its journal, and `--salvage` reads it as it is" }
    SEAL_MISMATCH = Code { id: "AF0018", Corrupt,
        "a sealed segment does not match its seal",
        "The hash of the segment, or its link to the segment before it, is not what was written when it was sealed.",
        "put the segment back from a backup; `afterimage repair` keeps every transaction that is sound" }
    INVALID_KEY = Code { id: "AF0019", Invalid,
        "a key must not be empty",
        "Keys are 1 to 65,536 bytes.",
        "give the record a key" }
    KEY_TOO_LARGE = Code { id: "AF0020", Invalid,
        "the key is over the limit of 65,536 bytes",
        "Keys are held in memory and compared often, so they are bounded.",
        "shorten the key, or store the long part in the value" }
    IMAGE_TOO_LARGE = Code { id: "AF0021", Invalid,
        "the value is over the limit of 1 GiB",
        "A value is written in one frame and read as one slice of the map.",
        "split the value into several records" }
    TRANSACTION_TOO_LARGE = Code { id: "AF0022", Invalid,
        "the transaction is over the limit of 2 GiB",
        "A transaction is one frame; both images of each change count.",
        "split the work into several transactions" }
    METADATA_TOO_LARGE = Code { id: "AF0023", Invalid,
        "the transaction's metadata is over the limit of 65,535 bytes",
        "Actor, message, correlation, causation and attributes stand together in each frame.",
        "shorten the message or store the detail in a record" }
    INVALID_COLLECTION_NAME = Code { id: "AF0024", Invalid,
        "the collection name is not allowed",
        "Names are 1 to 255 bytes of UTF-8 without `/` and control characters.",
        "choose another name" }
    SYSTEM_COLLECTION = Code { id: "AF0025", Invalid,
        "system collections are not written directly",
        "Collections whose name begins with `$` record what the store itself did.",
        "use the command or method made for it" }
    NO_SUCH_COLLECTION = Code { id: "AF0026", NotFound,
        "no such collection",
        "No transaction has ever written to a collection of this name.",
        "list them with `afterimage collections`" }
    NO_SUCH_RECORD = Code { id: "AF0027", NotFound,
        "no such record",
        "The record did not exist at that moment.",
        "`afterimage log COLLECTION/KEY` shows whether it ever did" }
    NO_SUCH_POINT = Code { id: "AF0028", NotFound,
        "no such restore point",
        "No restore point of this name exists now.",
        "list them with `afterimage point list`" }
    POINT_EXISTS = Code { id: "AF0029", Conflict,
        "a restore point of this name exists",
        "A name stands for one moment; moving it silently would mislead.",
        "delete the restore point first, or choose another name" }
    INVALID_POINT_NAME = Code { id: "AF0030", Invalid,
        "the restore point's name is not allowed",
        "Names are 1 to 255 bytes of UTF-8 without white space, control characters and `..`.",
        "choose another name" }
    INVALID_REVISION = Code { id: "AF0031", Invalid,
        "the moment is not understood",
        "A moment is an LSN, HEAD, HEAD~N, REV^, point:NAME, or a time.",
        "write for example 42, HEAD~10, 42^, point:before-import, `2026-11-19 16:00` or `2 hours ago`" }
    INVALID_JSON = Code { id: "AF0032", Invalid,
        "the text is not valid JSON",
        "It does not parse, is nested too deeply, or holds a lone surrogate, which can't be kept exactly.",
        "correct the text at the offset named, or store it as bytes" }
    INVALID_EVENT = Code { id: "AF0033", Invalid,
        "the line is not a change event",
        "A change event is one JSON object a line with at least `collection`, `key`, and `op` or `after`.",
        "correct the line named; transactions before it are committed" }
    IMPORT_CONTRADICTION = Code { id: "AF0034", Conflict,
        "the change event contradicts the store",
        "It creates what exists, changes or deletes what does not, or names another before image than the one stored.",
        "import into the store it was taken from, or take the after images as the truth with --upsert" }
    CONFLICT = Code { id: "AF0035", Conflict,
        "a transaction read what another has changed since",
        "Transactions are serializable: what was read must still hold when it commits.",
        "run it again on the new state; `Store::write` does so by itself" }
    EXPECTATION_FAILED = Code { id: "AF0036", Conflict,
        "the record is not as expected",
        "The record's version is another than the one named, or it exists though it must not.",
        "read the record again and decide anew" }
    DISK_FULL = Code { id: "AF0037", Full,
        "no space left for the journal",
        "Space is allocated before a byte is promised, and the file system refused it.",
        "free some space; reading and exporting go on, and writing resumes by itself" }
    IO = Code { id: "AF0038", Io,
        "the operating system reported an error",
        "A file operation failed.",
        "see the cause; check the disk" }
    POISONED = Code { id: "AF0039", Poisoned,
        "the journal stopped after a failed write or sync",
        "After a failed sync, memory and disk may differ, so nothing more is acknowledged by this handle.",
        "check the disk and open the store again; recovery reads what the disk really has" }
    CLOSED = Code { id: "AF0040", Closed,
        "the store is closed",
        "The handle was closed by another part of the program.",
        "open the store again" }
    ENCODE = Code { id: "AF0041", Invalid,
        "the value can't be encoded",
        "The codec of the collection refused the value.",
        "see the cause; choose another codec or change the type" }
    DECODE = Code { id: "AF0042", Invalid,
        "the stored value can't be decoded as this type",
        "The bytes are intact, but the collection's codec or type does not fit what was stored.",
        "read it with the codec and type it was written with" }
    INVALID_OPTION = Code { id: "AF0043", Invalid,
        "an option has a value that is not allowed",
        "The message names the option and its bounds.",
        "correct the option" }
    PROJECTION_FAULTED = Code { id: "AF0044", Invalid,
        "a projection failed on a transaction",
        "The projection's own code refused the transaction named; the store is not affected.",
        "correct the projection, then retry, skip that transaction, or rebuild it" }
    LAGGED = Code { id: "AF0045", OutsideWindow,
        "a subscriber asked for transactions that are no longer kept",
        "The moment to start from lies before the oldest transaction kept, or after the newest.",
        "start from a moment inside the window" }
    WRONG_STORE = Code { id: "AF0046", Corrupt,
        "a file belongs to another store",
        "Its header carries another store's id or timeline, or another place in the journal.",
        "put the file back where it came from" }
    USAGE = Code { id: "AF0047", Invalid,
        "the command line is not understood",
        "An argument is missing, unknown, or does not fit the others.",
        "`afterimage COMMAND --help` shows what it takes, with examples" }
    CONFIRMATION_NEEDED = Code { id: "AF0048", Invalid,
        "confirmation is needed and there is no terminal",
        "The command removes something and asks before it does; nobody is there to answer.",
        "look at what it would do with --dry-run, then give --yes" }
    UNDO_CONFLICT = Code { id: "AF0049", Conflict,
        "what is to be taken back was built upon",
        "A record was changed again by a later transaction, which is named: taking the earlier change back would lose the later one.",
        "look at the conflicts with --dry-run, then say what becomes of them: for an undo by --mode nonconflicting, cascade, merge or force, for a restore by --on-conflict ours or theirs" }
    STALE_PLAN = Code { id: "AF0050", Conflict,
        "the plan does not hold any more",
        "A record that the plan touches was changed since it was made, or the arguments are not those that it was made with. Nothing was written.",
        "make a new plan with --dry-run" }
    NOT_UNDOABLE = Code { id: "AF0051", Invalid,
        "the change can't be taken back",
        "It is a record of the store itself, or what the record was before is gone with folded history.",
        "leave it out of what is to be undone; a restore point is removed by `afterimage point delete`" }
    INVALID_FILTER = Code { id: "AF0052", Invalid,
        "the jq filter is not understood",
        "It does not parse, names a function that these filters do not have, or is too long or too deep.",
        "correct the filter at the offset named; https://jqlang.org/manual/ describes the language" }
    FILTER_FAILED = Code { id: "AF0053", Invalid,
        "the jq filter failed on a value",
        "It called error, or did with the value what values of its type do not allow.",
        "have the filter deal with such values too, as with `.field?` or `// empty`" }
    POINT_PROTECTED = Code { id: "AF0055", Conflict,
        "the restore point is protected",
        "Somebody said that it must stay, so it is not deleted along with others or by mistake.",
        "if it may go, end that with `afterimage point unprotect NAME`, then delete it" }
    IMPORT_MODE = Code { id: "AF0056", Invalid,
        "the mode of the import does not take this event",
        "merge and skip-existing look at what exists when they begin, and so take records: creations, `r`, or events without `op`.",
        "import a history with the mode append or replace, or export the state instead" }
    IMPORT_KEY = Code { id: "AF0057", Invalid,
        "the record of a document or table has no usable key",
        "The key field is missing, empty, neither a string nor a number, begins with 0x without being hexadecimal, or stands twice.",
        "name the right field with --key, or correct the line named" }
    INVALID_DOCUMENT = Code { id: "AF0058", Invalid,
        "the input is not what its format says",
        "A JSON document is one array of objects, or one object whose names are the keys; a table has a line that names the columns, each once, and as many cells in each line.",
        "correct the line named; transactions before it are committed" }
    IMPORT_MAPPING = Code { id: "AF0059", Invalid,
        "a field can't get its new name",
        "The record has a field of that name already, or what the field would stand in is no object.",
        "choose another name, or leave the field that is in the way out with --drop-field" }
    REPOSITORY_NOT_FOUND = Code { id: "AF0060", NotFound,
        "no backup repository at this place",
        "There is no file afterimage.json there, so it is no repository.",
        "check the address; a repository is made where there is none by the first backup" }
    REPOSITORY_EXISTS = Code { id: "AF0061", Invalid,
        "a backup repository exists already",
        "A new repository was asked for where one is; nothing was changed.",
        "open the repository that is there, or choose another place" }
    WRONG_KEY = Code { id: "AF0062", WrongKey,
        "the key does not open the backup repository",
        "It is none of those that the repository was made with or was given last; or the repository is encrypted and no key was given; or it is not encrypted though a key was given.",
        "give the key or passphrase that the repository has now; without one nobody can read it" }
    OBJECT_DAMAGED = Code { id: "AF0063", Corrupt,
        "an object of the backup repository is damaged",
        "Its bytes are not those that were written under this name: changed, cut off, or put there from another place.",
        "put the object back from a copy of the repository; else remove it and make a new full backup, and keep those that do not need it" }
    OBJECT_MISSING = Code { id: "AF0064", NotFound,
        "an object of the backup repository is missing",
        "No object of this name is there; it was deleted, or never written.",
        "put the object back from a copy of the repository, or choose a backup that does not need it" }
    OBJECT_DIFFERS = Code { id: "AF0065", Conflict,
        "another object has this name already",
        "Objects are never written over, and what stands there is not what was to be written; nothing was changed.",
        "choose another name, or find out who else writes to this repository" }
    REMOTE = Code { id: "AF0066", Remote,
        "the backup repository does not answer",
        "The server could not be reached, or failed, also when it was asked again.",
        "see the cause; what was written so far counts, so run it again later" }
    INVALID_SECRET = Code { id: "AF0067", Invalid,
        "the key or passphrase can't be taken from there",
        "It is missing, empty, too long, not of the form it should have, or in a file that others may read.",
        "a key file holds 64 hexadecimal digits; `chmod 600` keeps it to its owner" }
    SLICE_DAMAGED = Code { id: "AF0068", Corrupt,
        "a slice of a journal is damaged",
        "Its bytes are not those that were taken out of the store: something was changed, cut off or added since. Nothing was made of it.",
        "take another copy of the slice, or take it out of the store again" }
    SLICE_CHAIN = Code { id: "AF0069", Corrupt,
        "slices of a journal do not continue one another",
        "One is missing, stands in the wrong place, or was taken from another store. A store is built from slices in their order, from LSN 1 on.",
        "give all slices of one store, in the order of their transactions" }
    BACKUP_DAMAGED = Code { id: "AF0071", Corrupt,
        "the manifest of a backup is damaged",
        "It does not parse, is over its limits, is not the one of its label, or its parts do not fit together.",
        "`afterimage backup verify --all` says what of the repository is sound; other backups are not touched by that" }
    NO_SUCH_BACKUP = Code { id: "AF0072", NotFound,
        "no such backup",
        "No backup of this label is in the repository, or it is deleted.",
        "list them with `afterimage backup list`" }
    RETENTION_REFUSED = Code { id: "AF0073", Conflict,
        "backups are not removed",
        "What was asked for would remove the last backup or one that is pinned, or the repository is not known to be sound.",
        "see the message; keep more, unpin the backup, or verify the repository first" }
    INVALID_SCHEDULE = Code { id: "AF0074", Invalid,
        "the schedule is not understood",
        "A schedule is a cron expression of five fields, or words such as `every 5 minutes` or `daily at 03:00`.",
        "write for example `every 5 minutes`, `every hour`, `daily at 03:00`, `weekly on sunday at 04:30` or `0 3 * * 1-5`" }
    FOLD_TOO_LARGE = Code { id: "AF0075", Invalid,
        "the live records are too many to fold history away",
        "What is live at the end of the history that is given up is written into one file, of at most 4 GiB.",
        "keep the history, or divide the store" }
    REPAIR_OF_FOLDED = Code { id: "AF0076", Invalid,
        "a store whose history was folded away can't be repaired",
        "Repair makes a store anew from its transactions, and those that were folded away are not there any more.",
        "restore it from a backup; `--salvage` reads what stands before the damage" }
}
