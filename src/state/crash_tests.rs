//! Large known sets in a folder: what a commit costs, and what is left of one whose process dies.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::detect::known::{Age, Known, KnownSet};
use crate::state::blob::{Blob, BlobStore, Tag};
use crate::state::partitions::MAX_INLINE;

fn keap() -> InstanceRef {
    InstanceRef::new("crm", "keap")
}

fn remember(state: &mut InstanceState, resource: &str, ids: impl IntoIterator<Item = u64>, version: u64) {
    let own = state.resources.entry(resource.to_owned()).or_default();
    for id in ids {
        let id = xxh3_64(&id.to_be_bytes());
        own.known.remember(id, Known { version, date: Some(id.cast_signed() >> 4), age: Age::Settled, deleted: false });
    }
    own.delivered += 1;
}

fn save(store: &Directory, state: &InstanceState) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.save(&keap(), state.clone())).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("crm.keap.known")) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn many(records: u64) -> InstanceState {
    let mut state = InstanceState::new("u-1".into());
    remember(&mut state, "contacts", 0..records, 1);
    remember(&mut state, "few", 0..10, 1);
    state
}

#[test]
fn a_change_writes_one_partition_and_a_small_head() {
    let place = tempfile::tempdir().unwrap();
    let store = Directory::open(place.path()).unwrap();
    let mut state = many(20_000);
    save(&store, &state);
    let before = names(place.path());
    assert!((16..64).contains(&before.len()), "{}", before.len());
    remember(&mut state, "contacts", [7], 2);
    save(&store, &state);
    let new: Vec<_> = names(place.path()).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    let head = fs::read(place.path().join("crm.keap.json")).unwrap();
    assert!(head.len() < 2_000, "{}", head.len());
    // and the same after a restart, which deletes what was superseded
    drop(store);
    let store = Directory::open(place.path()).unwrap();
    let mut state = store.load(&keap()).unwrap().unwrap();
    remember(&mut state, "contacts", [8], 2);
    save(&store, &state);
    assert_eq!(names(place.path()).len(), before.len() + 1, "one was superseded just now");
    assert_eq!(store.load(&keap()).unwrap(), Some(state));
}

#[test]
fn many_changes_write_the_records_that_changed_until_they_are_too_many() {
    let place = tempfile::tempdir().unwrap();
    let mut store = Directory::open(place.path()).unwrap();
    let mut state = many(20_000);
    save(&store, &state);
    let size = |name: &str| fs::metadata(place.path().join("crm.keap.known").join(name)).unwrap().len();
    let mut whole = 0;
    for round in 0..60_u64 {
        let before = names(place.path());
        remember(&mut state, "contacts", (0..200).map(|number| (round * 200 + number) * 7919 % 20_000), round + 2);
        // one change between writes its partition, and the recent changes stay
        if round % 7 == 3 {
            save(&store, &state);
            remember(&mut state, "contacts", [round], 1_000 + round);
        }
        save(&store, &state);
        let new: Vec<_> = names(place.path()).into_iter().filter(|name| !before.contains(name)).collect();
        let bytes: u64 = new.iter().map(|name| size(name)).sum();
        if new.len() > 4 {
            whole += 1;
        } else {
            assert!(bytes < 180_000, "{new:?}: {bytes}");
        }
        if round % 5 == 4 {
            drop(store);
            store = Directory::open(place.path()).unwrap();
            let found = store.load(&keap()).unwrap();
            assert_eq!(found.as_ref(), Some(&state), "round {round}");
            // from here on it is what was read that changes
            state = found.unwrap();
        }
    }
    // more than is listed of a partition, in an eighth of them
    let mut state = many(20_000);
    save(&store, &state);
    remember(&mut state, "contacts", (0..20_000_u64).filter(|id| xxh3_64(&id.to_be_bytes()) >> 61 == 0), 99);
    save(&store, &state);
    drop(store);
    assert_eq!(Directory::open(place.path()).unwrap().load(&keap()).unwrap(), Some(state));
    assert!((1..=3).contains(&whole), "12,000 changes, of which 5,000 are recent at most: {whole}");
}

#[test]
fn every_blob_is_within_its_bound() {
    let place = tempfile::tempdir().unwrap();
    save(&Directory::open(place.path()).unwrap(), &many(100_000));
    for name in names(place.path()) {
        let file = place.path().join("crm.keap.known").join(name);
        assert!(fs::metadata(file).unwrap().len() <= 128 * 1024);
    }
}

#[test]
fn small_sets_stay_in_the_head_and_one_that_shrinks_returns() {
    let place = tempfile::tempdir().unwrap();
    let store = Directory::open(place.path()).unwrap();
    let most = u64::try_from(MAX_INLINE).unwrap();
    let state = many(most);
    save(&store, &state);
    assert!(!place.path().join("crm.keap.known").exists());
    let text = fs::read_to_string(place.path().join("crm.keap.json")).unwrap();
    assert_eq!(serde_json::from_str::<InstanceState>(&text).unwrap(), state, "as it always was");
    save(&store, &many(most + 1));
    assert_eq!(names(place.path()).len(), 1);
    save(&store, &many(most / 2 + 1));
    assert_eq!(names(place.path()).len(), 2, "it does not flap");
    drop(store);
    let store = Directory::open(place.path()).unwrap();
    store.load(&keap()).unwrap();
    save(&store, &many(most / 2));
    drop(store);
    let store = Directory::open(place.path()).unwrap();
    assert_eq!(store.load(&keap()).unwrap(), Some(many(most / 2)));
    save(&store, &many(1));
    assert!(!place.path().join("crm.keap.known").exists(), "{:?}", names(place.path()));
}

#[test]
fn state_of_one_file_is_taken_over_whatever_its_size() {
    let place = tempfile::tempdir().unwrap();
    let state = many(5_000);
    fs::write(place.path().join("crm.keap.json"), serde_json::to_vec(&state).unwrap()).unwrap();
    let store = Directory::open(place.path()).unwrap();
    assert_eq!(store.load(&keap()).unwrap().as_ref(), Some(&state));
    save(&store, &state);
    assert!(names(place.path()).len() > 3);
    assert_eq!(store.load(&keap()).unwrap(), Some(state));
}

#[test]
fn a_damaged_or_missing_partition_is_never_a_fresh_start() {
    let place = tempfile::tempdir().unwrap();
    let store = Directory::open(place.path()).unwrap();
    save(&store, &many(600));
    let file = place.path().join("crm.keap.known").join(&names(place.path())[0]);
    let whole = fs::read(&file).unwrap();
    let refused = || {
        let problem = store.load(&keap()).unwrap_err();
        assert_eq!(problem.reason, Reason::StateUnavailable);
        assert!(problem.message.contains("crm.keap.known") && problem.message.contains("start again"), "{}", problem.message);
    };
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&file, &whole[..cut]).unwrap();
        refused();
    }
    fs::remove_file(&file).unwrap();
    refused();
    // the way out: a copy, or all of it moved away
    fs::write(&file, &whole).unwrap();
    assert_eq!(store.load(&keap()).unwrap(), Some(many(600)));
    fs::remove_file(place.path().join("crm.keap.json")).unwrap();
    assert_eq!(store.load(&keap()).unwrap(), None);
    save(&store, &many(3));
    assert_eq!(names(place.path()), Vec::<String>::new(), "what no head names is deleted");
}

/// As `cp -r` does it while the process is at work: the names are read, and files copied one by one while others come and go.
#[test]
fn a_copy_of_a_folder_in_use_is_a_state() {
    let place = tempfile::tempdir().unwrap();
    let store = Directory::open(place.path()).unwrap();
    let mut state = many(3_000);
    save(&store, &state);
    let listed = names(place.path());
    for version in 2..5 {
        remember(&mut state, "contacts", [7, 8, 9], version);
        save(&store, &state);
    }
    copy_as_listed(&place, &listed, &state);
}

/// The same, where what changed is written by itself.
#[test]
fn a_copy_of_a_folder_that_lacks_recent_changes_is_a_state() {
    let place = tempfile::tempdir().unwrap();
    let store = Directory::open(place.path()).unwrap();
    let mut state = many(20_000);
    save(&store, &state);
    for recent in [false, true] {
        let listed = names(place.path());
        assert_eq!(listed.iter().any(|name| name.contains("recent")), recent, "{listed:?}");
        remember(&mut state, "contacts", 0..100, if recent { 7 } else { 6 });
        save(&store, &state);
        copy_as_listed(&place, &listed, &state);
    }
}

fn copy_as_listed(place: &tempfile::TempDir, listed: &[String], state: &InstanceState) {
    let records = state.resources["contacts"].known.len();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("crm.keap.known")).unwrap();
    for name in listed.iter().map(|name| format!("crm.keap.known/{name}")).chain(["crm.keap.json".to_owned()]) {
        fs::copy(place.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let store = Directory::open(copy.path()).unwrap();
    let mut copied = store.load(&keap()).unwrap().unwrap();
    assert_eq!(copied.resources["contacts"].known.len(), records);
    assert_eq!(copied.resources["contacts"].delivered, state.resources["contacts"].delivered);
    assert_ne!(copied, *state, "the last versions come again");
    // and goes on from there
    remember(&mut copied, "contacts", [10], 9);
    save(&store, &copied);
    drop(store);
    let store = Directory::open(copy.path()).unwrap();
    assert_eq!(store.load(&keap()).unwrap(), Some(copied));
}

/// A folder whose process dies after some writes: from then on nothing is written and nothing deleted.
struct Dying<'a> {
    folder: &'a Folder,
    left: AtomicUsize,
}

impl Dying<'_> {
    fn act(&self) -> io::Result<()> {
        let lives = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        lives.map(drop).map_err(|_| io::ErrorKind::Interrupted.into())
    }
}

impl BlobStore for Dying<'_> {
    type Error = io::Error;

    async fn get(&self, name: &str) -> io::Result<Option<Blob>> {
        self.folder.get(name).await
    }

    async fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<io::Error>> {
        if let Err(died) = self.act() {
            if self.folder.path().exists() {
                // in the middle of it
                fs::write(self.folder.path().join(format!("{name}.new")), &bytes[..bytes.len() / 2])?;
            }
            return Err(died.into());
        }
        self.folder.put(name, bytes, seen).await
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        self.act()?;
        self.folder.delete(name).await
    }
}

impl ListBlobs for Dying<'_> {
    async fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list().await
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever was written when the process died, the old state or the new one is there: nothing between, nothing lost.
    #[test]
    fn a_death_at_any_moment_leaves_the_old_or_the_new_state(
        commits in prop::collection::vec((0..4_000_u64, 1..400_u64, any::<bool>(), prop::option::of(0..12_usize)), 1..12),
        is_large in any::<bool>(),
    ) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("crm.keap.known"));
        let file = place.path().join("crm.keap.json");
        let (mut old, mut known) = (InstanceState::new("u-1".into()), None);
        if is_large {
            old = many(8_000);
            let (stored, written) = write(&file, &folder, replace, None, old.clone());
            written.unwrap();
            known = stored;
        }
        let first = old.clone();
        for (number, (id, count, forget, death)) in (2..).zip(commits) {
            let mut new = old.clone();
            remember(&mut new, if id % 3 == 0 { "orders" } else { "contacts" }, id..id + count, number);
            if forget {
                new.resources.get_mut("contacts").into_iter().for_each(|own| own.known.forget_before(chrono::DateTime::UNIX_EPOCH));
            }
            let dying = Dying { folder: &folder, left: AtomicUsize::new(death.unwrap_or(usize::MAX)) };
            let replace = |file: &Path, bytes: &[u8]| dying.act().and_then(|()| replace(file, bytes));
            let (stored, written) = write(&file, &dying, replace, known.take(), new.clone());
            let died = dying.left.load(Ordering::SeqCst) == 0;
            prop_assert!(written.is_ok() || died);
            if !died {
                (old, known) = (new, stored);
                continue;
            }
            // another process
            let store = Directory::open(place.path()).unwrap();
            let found = store.load(&keap()).unwrap();
            known = store.partitions.all().remove(&keap());
            match found {
                Some(found) if found == new => old = found,
                Some(found) => {
                    prop_assert!(written.is_err());
                    prop_assert_eq!(&found, &old);
                    old = found;
                }
                None => prop_assert_eq!(&old, &first),
            }
        }
        // what nobody names is gone, but for what was superseded just now
        remember(&mut old, "contacts", [1], 99);
        let (_, written) = write(&file, &folder, replace, Some(Stored::unknown()), old.clone());
        written.unwrap();
        let store = Directory::open(place.path()).unwrap();
        prop_assert_eq!(store.load(&keap()).unwrap(), Some(old.clone()));
        let large: BTreeMap<_, _> = old.resources.iter().filter(|(_, own)| own.known.len() > MAX_INLINE).collect();
        let parts: usize = large.values().map(|own| KnownSet::parts(&own.known).len()).sum();
        prop_assert_eq!(names(place.path()).len(), parts);
    }
}
