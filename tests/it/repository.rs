//! The repository of backups. What a test calls a place is memory whose every byte it sees, a
//! directory, or a server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use afterimage::testing::repository::{Memory, When};
use afterimage::{
    Error, ErrorKind, Folder, Label, Lsn, OBJECT_BYTES_MAX, ObjectKind, ObjectName, PassphraseCost,
    Repository, RepositoryKey, Secret,
};

use crate::random::Random;

const STORE: &str = "01a1f48d-0583-7016-a723-9482dabcec34";
const CHUNK: usize = 64 << 10;

fn passphrase(text: &str) -> RepositoryKey {
    let cost = PassphraseCost { memory_kib: 19_456, passes: 2 };
    let secret = Secret::new(text.into()).expect("a secret");
    RepositoryKey::passphrase_at_cost(secret, cost).expect("a key")
}

fn key_file(digit: &str) -> RepositoryKey {
    let secret = Secret::new(digit.repeat(64).into()).expect("a secret");
    RepositoryKey::key_file(&secret).expect("a key")
}

fn name(kind: ObjectKind) -> ObjectName {
    ObjectName { store: STORE.parse().expect("an id"), kind }
}

fn label(text: &str) -> Label {
    Label::new(text).expect("a label")
}

fn manifest(text: &str) -> ObjectName {
    name(ObjectKind::Manifest { label: label(text) })
}

fn slice(repository: &Repository, first: u64, content: &[u8]) -> ObjectName {
    let hash = repository.content_hash(content);
    name(ObjectKind::Slice { first: Lsn::new(first), last: Lsn::new(first + 9), hash })
}

fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect()
}

fn error<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Error {
    outcome.expect_err("refused")
}

/// What holds of every place: nothing is lost, nothing changes, nothing is another's.
fn keeps_its_promises(repository: &Repository, reopen: impl Fn() -> Repository, lengths: &[usize]) {
    let mut random = Random(1);
    let mut expected = BTreeMap::new();
    for (number, length) in (1..).zip(lengths) {
        let content = match number % 2 {
            0 => bytes(&mut random, *length),
            _ => b"the same over and over ".iter().copied().cycle().take(*length).collect(),
        };
        let object = slice(repository, number * 10, &content);
        let stored = repository.put(&object, &content).expect("put");
        assert!(!stored.existed);
        assert_eq!(repository.size(&object).expect("size"), Some(stored.bytes));
        let again = repository.put(&object, &content).expect("put again");
        assert_eq!((again.existed, again.bytes), (true, stored.bytes));
        expected.insert(object, content);
    }
    let mark = name(ObjectKind::Mark { label: label("nightly"), number: 1 });
    repository.put(&mark, b"{}").expect("put");
    repository.put(&manifest("nightly"), b"one").expect("put");
    let other = error(repository.put(&manifest("nightly"), b"two"));
    assert_eq!(other.kind(), ErrorKind::Conflict, "{other}");
    assert_eq!(repository.get(&manifest("nightly")).expect("got"), b"one");

    let repository = reopen();
    let names: Vec<_> = expected.keys().cloned().collect();
    let contents = repository.get_many(&names, 4).expect("got");
    assert_eq!(contents, expected.values().cloned().collect::<Vec<_>>());
    let store = STORE.parse().expect("an id");
    let slices = repository.list(&Folder::Slices(store)).expect("listed");
    assert_eq!(slices.objects.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    let all = repository.list(&Folder::Everything).expect("listed");
    assert_eq!((all.objects.len(), all.foreign_count), (names.len() + 2, 0));
    let marks = repository.list(&Folder::MarksOf(store, label("nightly"))).expect("listed");
    assert_eq!(marks.objects.len(), 1);
    assert_eq!(repository.stores().expect("listed"), [store]);

    for object in &names {
        repository.delete(object).expect("deleted");
        repository.delete(object).expect("what is gone may be deleted");
        assert_eq!(repository.size(object).expect("size"), None);
        assert_eq!(error(repository.get(object)).kind(), ErrorKind::NotFound);
    }
    let many: Vec<_> = expected.into_iter().collect();
    repository.put_many(&many, 4).expect("put");
    assert_eq!(repository.get_many(&names, 1).expect("got").len(), names.len());
}

/// Lengths about what could be an edge.
fn lengths() -> Vec<usize> {
    let near = |edge: usize| edge - 1..=edge + 1;
    [0, 1, 2, 31, 127, 128].into_iter().chain(near(CHUNK)).chain(near(3 * CHUNK)).collect()
}

#[test]
fn a_directory_keeps_its_promises_with_and_without_a_key() {
    for key in [None, Some(key_file("a")), Some(passphrase("correct horse"))] {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("with space%20").display().to_string();
        let repository = Repository::create(&path, key.as_ref()).expect("created");
        let url = format!("file://{}", path.replace('%', "%25").replace(' ', "%20"));
        let reopen = || Repository::open(&url, key.as_ref()).expect("opened");
        keeps_its_promises(&repository, reopen, &lengths());
        let again = error(Repository::create(&path, key.as_ref()));
        assert_eq!((again.code().id, again.kind()), ("AF0061", ErrorKind::Invalid));
    }
}

#[test]
fn memory_keeps_its_promises_with_and_without_a_key() {
    for key in [None, Some(key_file("a"))] {
        let place = Memory::default();
        let repository = place.create(key.as_ref()).expect("created");
        keeps_its_promises(&repository, || place.open(key.as_ref()).expect("opened"), &lengths());
    }
}

#[test]
fn the_largest_object_comes_back_and_a_larger_one_is_refused() {
    let repository = Repository::create("memory://", None).expect("created");
    let content = vec![7; OBJECT_BYTES_MAX + 1];
    let refused = error(repository.put(&manifest("large"), &content));
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    repository.put(&manifest("large"), &content[1..]).expect("put");
    assert!(repository.get(&manifest("large")).expect("got") == content[1..]);
}

#[test]
fn a_place_without_a_repository_is_not_found() {
    let place = tempfile::tempdir().expect("a directory");
    for path in [place.path().to_path_buf(), place.path().join("none")] {
        let missing = error(Repository::open(&path.display().to_string(), None));
        assert_eq!((missing.code().id, missing.kind().exit_code()), ("AF0060", 10), "{missing}");
    }
    assert!(!place.path().join("none").exists(), "looking makes nothing");
}

#[test]
fn content_that_is_not_what_the_name_says_is_refused() {
    let repository = Repository::create("memory://", None).expect("created");
    let refused = error(repository.put(&slice(&repository, 1, b"this"), b"that"));
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

/// A place with a slice and two manifests, and what they hold.
fn furnished(key: Option<&RepositoryKey>) -> (Memory, Vec<(ObjectName, Vec<u8>)>) {
    let place = Memory::default();
    let repository = place.create(key).expect("created");
    let content = b"some records, some records, some records, and some more".to_vec();
    let objects = vec![
        (slice(&repository, 1, &content), content),
        (manifest("first"), b"{\"what\": 1}".to_vec()),
        (manifest("second"), b"{\"what\": 2}".to_vec()),
    ];
    repository.put_many(&objects, 1).expect("put");
    (place, objects)
}

/// What stands at a name instead of what should is an error that names it.
fn is_refused(place: &Memory, repository: &Repository, object: &ObjectName, bytes: &[u8]) {
    let text = object.to_string();
    place.overwrite(&text, bytes);
    let refused = error(repository.get(object));
    assert!(matches!(refused.kind(), ErrorKind::Corrupt | ErrorKind::Format), "{refused}");
    assert!(refused.to_string().contains(&text), "{refused} does not name {text}");
}

#[test]
fn an_object_of_which_any_byte_is_changed_is_refused_by_name() {
    for key in [None, Some(key_file("a"))] {
        let (place, objects) = furnished(key.as_ref());
        let repository = place.open(key.as_ref()).expect("opened");
        let mut refused = 0;
        for (object, content) in &objects {
            let sound = place.contents()[&object.to_string()].clone();
            for index in 0..sound.len() {
                for flipped in [1, 0x80, 0xff] {
                    let mut wrong = sound.clone();
                    wrong[index] ^= flipped;
                    is_refused(&place, &repository, object, &wrong);
                }
                is_refused(&place, &repository, object, &sound[..index]);
                refused += 4;
            }
            for added in [&b"\0"[..], &sound] {
                is_refused(&place, &repository, object, &[&sound, added].concat());
            }
            place.overwrite(&object.to_string(), &sound);
            assert_eq!(&repository.get(object).expect("sound again"), content);
        }
        assert!(refused > 1500, "{refused} were tried");
    }
}

#[test]
fn an_object_in_the_place_of_another_is_refused_by_name() {
    for key in [None, Some(key_file("a"))] {
        let (place, objects) = furnished(key.as_ref());
        let (other, _) = furnished(key.as_ref());
        let repository = place.open(key.as_ref()).expect("opened");
        let (sound, foreign) = (place.contents(), other.contents());
        for (object, _) in &objects {
            let text = object.to_string();
            for (from, bytes) in &sound {
                if *from != text {
                    is_refused(&place, &repository, object, bytes);
                }
            }
            for bytes in foreign.values() {
                is_refused(&place, &repository, object, bytes);
            }
            place.overwrite(&text, &sound[&text]);
        }
    }
}

#[test]
fn texts_about_the_repository_of_which_any_byte_is_changed_are_refused() {
    let key = key_file("a");
    for set in ["afterimage.json", "keys/00000001.json"] {
        let (place, _) = furnished(Some(&key));
        if set.starts_with("keys") {
            place.open(Some(&key)).expect("opened").rekey(&[&key]).expect("new keys");
        }
        let sound = place.contents()[set].clone();
        for index in 0..sound.len() {
            for flipped in [1, 0x20, 0x80] {
                let mut wrong = sound.clone();
                wrong[index] ^= flipped;
                place.overwrite(set, &wrong);
                let refused = error(place.open(Some(&key)));
                let kind = refused.kind();
                assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Format), "{refused}");
            }
            place.overwrite(set, &sound[..index]);
            assert_eq!(error(place.open(Some(&key))).kind(), ErrorKind::Corrupt);
        }
        place.overwrite(set, &sound);
        place.open(Some(&key)).expect("sound again");
    }
}

#[test]
fn what_is_another_name_is_told_and_left_alone() {
    let (place, objects) = furnished(None);
    let names = [
        format!("{STORE}/slices/README"),
        format!("{STORE}/slices/00000000000000000001-00000000000000000010-ab.zst"),
        format!("{STORE}/backups/.hidden.json"),
        "notes.txt".to_owned(),
        "keys/1.json".to_owned(),
    ];
    for name in &names {
        place.overwrite(name, b"whatever");
    }
    let repository = place.open(None).expect("opened");
    let listing = repository.list(&Folder::Everything).expect("listed");
    assert_eq!(listing.objects.len(), objects.len());
    let mut foreign = names.to_vec();
    foreign.sort();
    assert_eq!(listing.foreign, foreign);
}

#[test]
fn files_that_nobody_put_there_are_told_and_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().display().to_string();
    let repository = Repository::create(&path, None).expect("created");
    repository.put(&manifest("nightly"), b"content").expect("put");
    for strange in ["a b", "100%", "%2e%2e", "\u{e4}", "back\\slash", "new\nline", "x#1"] {
        fs::write(place.path().join(strange), "whatever").expect("written");
    }
    let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    fs::write(place.path().join(bytes), "whatever").expect("written");
    std::os::unix::fs::symlink("/etc/hostname", place.path().join("link")).expect("linked");
    std::os::unix::fs::symlink("/nowhere", place.path().join("broken")).expect("linked");
    std::os::unix::fs::symlink(place.path(), place.path().join("loop")).expect("linked");
    let listing = repository.list(&Folder::Everything).expect("listed");
    assert_eq!(listing.objects.len(), 1, "{listing:?}");
    let strange = ["%2e%2e", "100%", "a b", "back\\slash", "broken (no file)"];
    let more = ["link (no file)", "loop (no file)", "new\nline", "\u{e4}"];
    assert_eq!(listing.foreign, [&strange[..], &more].concat());
    assert_eq!(repository.stores().expect("listed").len(), 1);
}

/// Makes what is not there yet, as a run does that is repeated after it was interrupted.
fn run(place: &Memory, key: Option<&RepositoryKey>) -> Result<Repository, Error> {
    let repository = match place.open(key) {
        Err(missing) if missing.code().id == "AF0060" => match place.create(key) {
            // Only the answer was lost.
            Err(exists) if exists.code().id == "AF0061" => place.open(key)?,
            outcome => outcome?,
        },
        outcome => outcome?,
    };
    for number in 1..4 {
        let content = format!("records of slice {number}").into_bytes();
        repository.put(&slice(&repository, number * 10, &content), &content)?;
    }
    let store = STORE.parse().expect("an id");
    assert_eq!(repository.list(&Folder::Slices(store))?.objects.len(), 3);
    repository.put(&manifest("nightly"), b"three slices")?;
    repository.put(&manifest("too-much"), b"none")?;
    repository.delete(&manifest("too-much"))?;
    if let Some(key) = key {
        repository.rekey(&[key])?;
    }
    Ok(repository)
}

#[test]
fn whichever_request_fails_a_repeated_run_completes() {
    for key in [None, Some(key_file("a"))] {
        for when in [When::Before, When::After] {
            for tries in [1, 3] {
                let mut first = 0;
                loop {
                    first += 1;
                    let place = Memory::default();
                    let failing = place.failing((first, u64::from(tries)), when, tries);
                    let outcome = run(&failing, key.as_ref());
                    let reached = failing.requests() >= first;
                    assert_eq!(outcome.is_err(), reached, "{first} {when:?} {tries}");
                    if let Err(failed) = &outcome {
                        assert_eq!(failed.kind().exit_code(), 18, "{failed}");
                    }
                    let repository = run(&place, key.as_ref()).expect("the run is repeated");
                    let got = repository.get(&manifest("nightly")).expect("got");
                    assert_eq!(got, b"three slices");
                    let all = repository.list(&Folder::Everything).expect("listed");
                    assert_eq!(all.objects.len(), 4);
                    if !reached {
                        break;
                    }
                }
                assert!(first > 8, "{first} requests were made to fail");
            }
        }
    }
}

#[test]
fn a_request_that_fails_for_a_while_is_made_again() {
    for when in [When::Before, When::After] {
        for first in 1..40 {
            let place = Memory::default().failing((first, 2), when, 3);
            run(&place, Some(&key_file("a"))).expect("no failure is seen");
        }
    }
}

#[test]
fn a_wrong_key_is_one_error_and_writes_nothing() {
    let right = [passphrase("right"), key_file("a")];
    let wrong = [passphrase("wrong"), key_file("b")];
    for key in &right {
        let (place, _) = furnished(Some(key));
        let before = place.contents();
        for wrong in wrong.iter().map(Some).chain([None]) {
            let refused = error(place.open(wrong));
            assert_eq!((refused.code().id, refused.kind().exit_code()), ("AF0062", 12));
        }
        assert_eq!(place.contents(), before);
    }
    let (place, _) = furnished(None);
    assert_eq!(error(place.open(Some(&right[0]))).kind(), ErrorKind::WrongKey);
}

#[test]
fn keys_are_added_and_replaced_without_touching_an_object() {
    let (old, new, other) = (passphrase("old"), passphrase("new"), key_file("c"));
    let (place, objects) = furnished(Some(&old));
    let before = place.contents();
    let opens = |key| match place.open(Some(key)) {
        Ok(repository) => {
            assert_eq!(repository.get(&objects[0].0).expect("got"), objects[0].1);
            true
        }
        Err(refused) => refused.kind() != ErrorKind::WrongKey,
    };
    let repository = place.open(Some(&old)).expect("opened");
    let racing = place.open(Some(&old)).expect("opened");
    repository.add_key(&other).expect("added");
    assert_eq!([opens(&old), opens(&other), opens(&new)], [true, true, false]);
    assert_eq!(error(racing.rekey(&[&new])).kind(), ErrorKind::Conflict);
    repository.rekey(&[&new]).expect("replaced");
    assert_eq!([opens(&old), opens(&other), opens(&new)], [false, false, true]);
    let after = place.contents();
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
    assert_eq!(error(repository.rekey(&[])).kind(), ErrorKind::Invalid);
    let (plain, _) = furnished(None);
    let plain = plain.open(None).expect("opened");
    assert_eq!(error(plain.rekey(&[&new])).kind(), ErrorKind::Invalid);
}

#[test]
fn nothing_of_what_is_encrypted_can_be_seen() {
    let (canary, word) = ("canary-7f3a91c2e8", "a passphrase that nobody sees");
    let key = passphrase(word);
    let place = Memory::default();
    let repository = place.create(Some(&key)).expect("created");
    let content = format!("guest-4711 {canary} {}", "x".repeat(200)).into_bytes();
    let object = slice(&repository, 1, &content);
    repository.put(&object, &content).expect("put");
    repository.put(&manifest("nightly"), &content).expect("put");
    let plain_hash =
        Repository::create("memory://", None).expect("created").content_hash(&content).to_string();
    for (name, bytes) in place.contents() {
        for secret in [canary, "guest-4711", word, &plain_hash, "xxxxxxxx"] {
            let holds = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!holds && !name.contains(secret), "{name} tells {secret}");
        }
    }
    let shown = format!("{repository:?} {key:?} {:?}", Secret::new(word.into()));
    assert!(!shown.contains(word) && shown.contains("passphrase"), "{shown}");
}

#[test]
fn the_same_content_is_stored_otherwise_each_time() {
    let key = key_file("a");
    let stored =
        |place: &Memory| place.contents().remove(&manifest("a").to_string()).expect("an object");
    let place = Memory::default();
    let repository = place.create(Some(&key)).expect("created");
    repository.put(&manifest("a"), b"content").expect("put");
    let first = stored(&place);
    repository.delete(&manifest("a")).expect("deleted");
    repository.put(&manifest("a"), b"content").expect("put");
    assert_ne!(stored(&place)[128..], first[128..]);
}

#[test]
fn secrets_come_from_where_others_do_not_look() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("secret");
    fs::write(&path, "word\n").expect("written");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    for open in [0o644, 0o640, 0o620, 0o601] {
        mode(open);
        let refused = error(Secret::from_file(&path));
        assert_eq!((refused.code().id, refused.kind()), ("AF0067", ErrorKind::Invalid));
    }
    mode(0o600);
    let memory = Memory::default();
    let opens = |secret: Secret| memory.open(Some(&RepositoryKey::passphrase(secret)));
    memory.create(Some(&passphrase("word"))).expect("created");
    opens(Secret::from_file(&path).expect("read")).expect("opened");
    opens(Secret::from_command("echo word").expect("run")).expect("opened");
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    fs::write(place.path().join("empty"), "").expect("written");
    assert_eq!(error(Secret::from_file(link)).kind(), ErrorKind::Invalid);
    assert_eq!(error(Secret::from_file(place.path().join("none"))).kind(), ErrorKind::Invalid);
    for command in ["true", "echo word; exit 3"] {
        assert_eq!(error(Secret::from_command(command)).kind(), ErrorKind::Invalid);
    }
    assert_eq!(error(Secret::from_env("AFTERIMAGE_NO_SUCH")).kind(), ErrorKind::Invalid);
    assert!(Secret::from_env("PATH").is_ok());
}

#[test]
fn a_key_file_is_made_for_its_owner_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("key");
    let made = RepositoryKey::create_key_file(&path).expect("made");
    assert!(RepositoryKey::create_key_file(&path).is_err(), "it is never written over");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let read = RepositoryKey::key_file(&Secret::from_file(&path).expect("read")).expect("a key");
    let memory = Memory::default();
    memory.create(Some(&made)).expect("created");
    memory.open(Some(&read)).expect("opened");
    for wrong in ["", "a", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
        let secret = Secret::new(format!("{wrong} ").into_bytes()).expect("a secret");
        assert_eq!(error(RepositoryKey::key_file(&secret)).kind(), ErrorKind::Invalid);
    }
}

#[test]
fn it_may_be_used_from_async_code() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let repository = Repository::create("memory://", None).expect("created");
        repository.put(&manifest("a"), b"content").expect("put");
        drop(repository);
    });
}

/// Servers, emulated or real.
#[cfg(feature = "cloud")]
mod served {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpStream;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::skipped::skipped;

    /// The address of an emulated or real server, which only the worker has.
    const SERVED: &str = "AFTERIMAGE_TEST_REPOSITORY";

    /// The worker's side of the tests with servers, run with the credentials in its environment.
    #[test]
    fn a_server_keeps_its_promises() {
        let Ok(url) = std::env::var(SERVED) else { return };
        let mut random = Random(u64::from(std::process::id()));
        for key in [None, Some(key_file("a"))] {
            let url = format!("{url}/{}", random.below(u64::MAX));
            let missing = error(Repository::open(&url, None));
            assert_eq!(missing.code().id, "AF0060", "{missing}");
            let repository = Repository::create(&url, key.as_ref()).expect("created");
            let again = error(Repository::create(&url, key.as_ref()));
            assert_eq!(again.code().id, "AF0061", "{again}");
            let reopen = || Repository::open(&url, key.as_ref()).expect("opened");
            let large = 9 << 20;
            keeps_its_promises(&repository, reopen, &[0, 1, CHUNK, 3 * CHUNK + 1, large]);
        }
    }

    struct Stopped(Child);

    impl Drop for Stopped {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// Serves at a port that it prints.
    const MOTO: &str = "
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
application = DomainDispatcherApplication(create_backend_app)
server = make_server('127.0.0.1', 0, application, threaded=True)
print(server.port, flush=True)
server.serve_forever()
";

    /// Moto, if it is there, and its address.
    fn moto() -> Option<(Stopped, String)> {
        let mut command = Command::new("python3");
        command.args(["-c", MOTO]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Stopped(command.spawn().ok()?);
        let mut port = String::new();
        BufReader::new(child.0.stdout.take()?).read_line(&mut port).ok()?;
        (!port.is_empty()).then(|| (child, format!("127.0.0.1:{}", port.trim())))
    }

    #[test]
    fn moto_keeps_its_promises() {
        let Some((_moto, address)) = moto() else {
            return skipped("moto is not there: python3 -m pip install 'moto[server]'");
        };
        let mut stream = TcpStream::connect(&address).expect("connected");
        let request =
            format!("PUT /backups HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.contains(" 200 "), "{answer}");
        let worker = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "repository::served::a_server_keeps_its_promises", "--nocapture"])
            .env(SERVED, "s3://backups")
            .env("AWS_ENDPOINT", format!("http://{address}"))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .expect("run");
        let told = String::from_utf8_lossy(&worker.stderr);
        let said = String::from_utf8_lossy(&worker.stdout);
        assert!(worker.status.success() && said.contains(" 1 passed"), "{said}{told}");
    }
}
