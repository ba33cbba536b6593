//! A folder of manifests on a disk.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::number;
use crate::local::files::Sources;
use crate::poll::status::refused;
use crate::state::InstanceState;
use crate::state::StateStore as _;

/// A folder with one instance that a user wrote, and a state folder.
struct Scene {
    manifests: TempDir,
    store: Arc<Directory>,
    _state: TempDir,
}

const THEIRS: &str = "\
apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {name: theirs, namespace: crm}
spec:
  baseUrl: https://api.example.com
  resources: [{name: orders, url: /orders}]
  callback: {url: https://hooks.example.org/in}
";

impl Scene {
    fn new() -> Self {
        let (manifests, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(manifests.path().join("theirs.yaml"), THEIRS).unwrap();
        let store = Arc::new(Directory::open(state.path()).unwrap());
        Self { manifests, store, _state: state }
    }

    fn read(&self) -> Definitions {
        Definitions::read(&Sources::new(vec![self.manifests.path().to_owned()], None)).unwrap()
    }

    fn instances(&self) -> FolderInstances {
        FolderInstances::new(
            Some(self.manifests.path().to_owned()),
            Arc::clone(&self.store),
            Least::One,
            &mut self.read(),
            commands(),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.manifests.path().join(name)
    }
}

/// To an engine that has ended.
fn commands() -> mpsc::Sender<Vec<Command>> {
    mpsc::channel(1).0
}

fn of(name: &str) -> InstanceRef {
    InstanceRef::new("crm", name)
}

fn instance(name: &str) -> ConnectorInstance {
    let spec = json!({
        "baseUrl": "https://api.example.com", "tags": ["yes", "1e3", "null", "a: b", "#", "'\"\\", "ä\u{2028}", "~", "0x1F"],
        "resources": [{"name": "orders", "url": "/orders", "query": {"since": "${since}", "on": "off"}}],
        "callback": {"url": "https://hooks.example.org/in"},
    });
    let mut instance = ConnectorInstance::new(name, serde_json::from_value(spec).unwrap());
    instance.metadata.namespace = Some("crm".to_owned());
    instance.metadata.annotations = Some([("note".to_owned(), "two\nlines\n".to_owned())].into());
    instance
}

#[tokio::test]
async fn what_is_created_stands_in_a_file_of_its_own_and_is_read_like_any_other() {
    let scene = Scene::new();
    let instances = scene.instances();
    let created = instances.create(instance("keap"), SecretEdits::default()).await.unwrap().instance;
    assert_eq!(created.spec, instance("keap").spec);
    assert_eq!(instances.get(&of("keap")).await.unwrap(), created);
    let names = |all: Vec<ConnectorInstance>| all.into_iter().map(|one| one.metadata.name.unwrap()).collect::<Vec<_>>();
    assert_eq!(names(instances.list(None).await.unwrap()), ["keap", "theirs"]);
    assert_eq!(names(instances.list(Some("crm")).await.unwrap()), ["keap", "theirs"]);
    assert!(instances.list(Some("other")).await.unwrap().is_empty());

    // the definitions say the same
    let read = scene.read();
    assert_eq!(read.planned.len(), 2);
    assert_eq!(read.declared[&of("keap")].instance.spec, created.spec);
    assert_eq!(scene.instances().get(&of("keap")).await.unwrap(), created);
    // and nothing half-written stays
    assert_eq!(fs::read_dir(scene.manifests.path()).unwrap().count(), 2);
    let again = instances.create(instance("keap"), SecretEdits::default()).await.unwrap();
    assert_eq!((again.is_new, again.instance), (false, created));
    let mut another = instance("keap");
    another.spec.suspend = true;
    assert!(matches!(instances.create(another, SecretEdits::default()).await, Err(InstancesError::Exists(_))));
    assert!(matches!(instances.create(instance("theirs"), SecretEdits::default()).await, Err(InstancesError::Exists(_))));
}

/// The files are read by another thread, and that takes time: what is changed here meanwhile is not in what was read.
#[tokio::test]
async fn what_is_changed_while_the_files_are_read_is_not_lost() {
    let scene = Scene::new();
    let instances = scene.instances();
    let mut secrets = SecretEdits::default();
    secrets.set("own", "k", "v".to_owned());
    for name in ["changed", "deleted"] {
        let secrets = if name == "deleted" { secrets.clone() } else { SecretEdits::default() };
        instances.create(instance(name), secrets).await.unwrap();
    }
    instances.begin_reading();
    let mut read = scene.read();
    instances.create(instance("created"), SecretEdits::default()).await.unwrap();
    let mut change = instances.get(&of("changed")).await.unwrap();
    change.spec.suspend = true;
    instances.update(change, SecretEdits::default()).await.unwrap();
    instances.delete(&of("deleted")).await.unwrap();
    instances.replace(&mut read);
    let names = |all: Vec<ConnectorInstance>| all.into_iter().map(|one| one.metadata.name.unwrap()).collect::<Vec<_>>();
    assert_eq!(names(instances.list(None).await.unwrap()), ["changed", "created", "theirs"]);
    assert!(!read.planned.contains_key(&of("deleted")), "the engine does not begin it");
    assert!(instances.get(&of("changed")).await.unwrap().spec.suspend);
    assert!(!instances.has_secret(&of("deleted"), "own"), "its Secret went with it");
    assert!(instances.known.read()[&of("changed")].is_read, "the engine runs what it was before");
    assert!(!instances.known.read()[&of("created")].is_read);

    // the next reading has it all, and files that someone else removes are gone again
    instances.begin_reading();
    fs::remove_file(scene.file("crm.created.yaml")).unwrap();
    instances.replace(&mut scene.read());
    assert_eq!(names(instances.list(None).await.unwrap()), ["changed", "theirs"]);
    assert!(instances.get(&of("changed")).await.unwrap().spec.suspend);
}

#[tokio::test]
async fn a_change_needs_the_version_that_was_read() {
    let scene = Scene::new();
    let instances = scene.instances();
    let created = instances.create(instance("keap"), SecretEdits::default()).await.unwrap().instance;
    let mut change = created.clone();
    change.spec.suspend = true;
    let updated = instances.update(change.clone(), SecretEdits::default()).await.unwrap();
    assert!(updated.spec.suspend && updated.metadata.resource_version != created.metadata.resource_version);
    assert!(scene.read().declared[&of("keap")].instance.spec.suspend);

    assert!(matches!(instances.update(change.clone(), SecretEdits::default()).await, Err(InstancesError::Changed(_))));
    change.metadata.resource_version = None;
    let told = instances.update(change, SecretEdits::default()).await.unwrap_err().to_string();
    assert!(told.starts_with("metadata.resourceVersion: Required value"), "{told}");

    // an edit by hand that was not looked at yet counts, too
    let text = fs::read_to_string(scene.file("crm.keap.yaml")).unwrap();
    fs::write(scene.file("crm.keap.yaml"), text.replace("suspend: true", "suspend: false")).unwrap();
    assert!(matches!(instances.update(updated, SecretEdits::default()).await, Err(InstancesError::Changed(_))));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_the_last_one_stays() {
    let scene = Scene::new();
    let instances = scene.instances();
    instances.create(instance("keap"), SecretEdits::default()).await.unwrap();
    instances.create(instance("other"), SecretEdits::default()).await.unwrap();
    instances.delete(&of("keap")).await.unwrap();
    assert!(!scene.file("crm.keap.yaml").exists());
    assert!(matches!(instances.get(&of("keap")).await, Err(InstancesError::NotFound(_))));
    assert!(matches!(instances.delete(&of("keap")).await, Err(InstancesError::NotFound(_))));

    fs::remove_file(scene.file("theirs.yaml")).unwrap();
    instances.replace(&mut scene.read());
    assert!(matches!(instances.delete(&of("other")).await, Err(InstancesError::Last(_))));
}

#[tokio::test]
async fn what_somebody_wrote_is_left_alone() {
    let scene = Scene::new();
    let instances = scene.instances();
    let theirs = instances.get(&of("theirs")).await.unwrap();
    let told = instances.update(theirs, SecretEdits::default()).await.unwrap_err().to_string();
    assert!(told.starts_with("instance crm/theirs is declared in ") && told.contains("theirs.yaml"), "{told}");
    assert!(matches!(instances.delete(&of("theirs")).await, Err(InstancesError::NotOurs(..))));
    assert_eq!(fs::read_to_string(scene.file("theirs.yaml")).unwrap(), THEIRS);

    // a file of the name that ours would have
    fs::write(scene.file("crm.keap.yaml"), THEIRS.replace("theirs", "keap")).unwrap();
    assert!(
        matches!(instances.create(instance("keap"), SecretEdits::default()).await, Err(InstancesError::NotOurs(..))),
        "not looked at yet"
    );
    instances.replace(&mut scene.read());
    assert!(matches!(instances.delete(&of("keap")).await, Err(InstancesError::NotOurs(..))));

    // ours, to which a user added
    let created = instances.create(instance("more"), SecretEdits::default()).await.unwrap().instance;
    let text = fs::read_to_string(scene.file("crm.more.yaml")).unwrap();
    fs::write(scene.file("crm.more.yaml"), format!("{text}---\n{}", THEIRS.replace("theirs", "added"))).unwrap();
    assert!(matches!(instances.update(created, SecretEdits::default()).await, Err(InstancesError::NotOurs(..))));
    assert!(matches!(instances.delete(&of("more")).await, Err(InstancesError::NotOurs(..))));
}

#[tokio::test]
async fn without_a_folder_nothing_is_written() {
    let scene = Scene::new();
    let sources = Sources::new(vec![scene.file("theirs.yaml")], None);
    assert_eq!(sources.folder(), None);
    let mut definitions = Definitions::read(&sources).unwrap();
    let instances = FolderInstances::new(None, Arc::clone(&scene.store), Least::One, &mut definitions, commands());
    let told = instances.create(instance("keap"), SecretEdits::default()).await.unwrap_err().to_string();
    assert!(told.contains("no folder of manifests was given"), "{told}");
    assert!(matches!(instances.delete(&of("theirs")).await, Err(InstancesError::NotOurs(..))));
}

#[tokio::test]
async fn what_an_api_server_would_refuse_is_not_written() {
    let scene = Scene::new();
    let instances = scene.instances();
    let mut wrong = instance("keap");
    wrong.spec.base_url = None;
    let told = instances.create(wrong, SecretEdits::default()).await.unwrap_err().to_string();
    assert!(told.contains("baseUrl is required"), "{told}");
    for name in ["", "../theirs", "Keap", "a/b", ".."] {
        let refused = instances.create(instance(name), SecretEdits::default()).await;
        assert!(matches!(refused, Err(InstancesError::Refused(_))), "{name:?}: {refused:?}");
    }
    let mut elsewhere = instance("keap");
    elsewhere.metadata.namespace = Some("../crm".to_owned());
    assert!(matches!(instances.create(elsewhere, SecretEdits::default()).await, Err(InstancesError::Refused(_))));
    assert_eq!(fs::read_dir(scene.manifests.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_status_is_shown_and_told_and_a_uid_comes_with_the_state() {
    let scene = Scene::new();
    let instances = scene.instances();
    let mut changes = instances.changes();
    assert_eq!(instances.get(&of("theirs")).await.unwrap().metadata.uid, None);
    scene.store.save(&of("theirs"), InstanceState::new("u-1".into())).await.unwrap();
    let status = Arc::new(refused(of("theirs"), None, &Problem::human(Reason::InvalidSpec, "spec: fix it")));
    instances.note(Arc::clone(&status));
    assert_eq!(changes.recv().await.unwrap(), status);

    let shown = instances.get(&of("theirs")).await.unwrap();
    assert_eq!(shown.metadata.uid.as_deref(), Some("u-1"));
    let shown = shown.status.unwrap();
    let ready = shown.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((&*ready.status, &*ready.reason, &*ready.message), ("False", "InvalidSpec", "spec: fix it"));
    assert_eq!((shown.delivered, shown.connect), (Some(0), None));

    // it goes with its instance
    instances.note(Arc::new(refused(of("gone"), None, &Problem::human(Reason::InvalidSpec, "spec"))));
    assert_eq!(instances.reported.read().len(), 1);
    fs::write(scene.file("theirs.yaml"), THEIRS.replace("theirs", "another")).unwrap();
    instances.replace(&mut scene.read());
    assert!(instances.reported.read().is_empty());
}

fn secrets(value: &str) -> SecretEdits {
    let mut edits = SecretEdits::default();
    edits.set("keap-oauth", "client_secret", value.to_owned());
    edits
}

#[tokio::test]
async fn secrets_come_and_go_with_their_instance() {
    use std::os::unix::fs::PermissionsExt as _;

    let scene = Scene::new();
    let instances = scene.instances();
    let created = instances.create(instance("keap"), secrets("yes")).await.unwrap();
    let mode = fs::metadata(scene.file("crm.keap.yaml")).unwrap().permissions().mode();
    assert_eq!((created.is_new, mode & 0o777), (true, 0o600));
    assert_eq!(scene.read().secrets.names().collect::<Vec<_>>(), [("crm", "keap-oauth")]);
    assert!(!instances.create(instance("keap"), secrets("yes")).await.unwrap().is_new);
    assert!(matches!(instances.create(instance("keap"), secrets("no")).await, Err(InstancesError::Exists(_))));

    // an update that does not name them leaves them, others are edited
    let mut change = created.instance.clone();
    change.spec.suspend = true;
    let changed = instances.update(change, SecretEdits::default()).await.unwrap();
    let text = || fs::read_to_string(scene.file("crm.keap.yaml")).unwrap();
    assert!(text().contains("client_secret: \"yes\"") || text().contains("client_secret: 'yes'"), "{}", text());
    let mut edits = secrets("1e3");
    edits.set("keap-oauth", "code", "c".to_owned());
    let changed = instances.update(changed, edits).await.unwrap();
    instances.replace(&mut scene.read());
    let mut edits = SecretEdits::default();
    edits.remove("keap-oauth", "code");
    instances.update(changed, edits).await.unwrap();
    assert!(!text().contains("code: c") && text().contains("1e3"), "{}", text());

    // one of another file is not touched, and its name not used again
    let theirs = "apiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: crm}\nstringData: {a: b}\n";
    fs::write(scene.file("secret.yaml"), theirs).unwrap();
    instances.replace(&mut scene.read());
    let mut edits = SecretEdits::default();
    edits.set("other", "a", "c".to_owned());
    let read = instances.get(&of("keap")).await.unwrap();
    assert!(matches!(instances.update(read, edits.clone()).await, Err(InstancesError::SecretNotOurs(_))));
    let mut fresh = instance("fresh");
    fresh.spec.suspend = true;
    assert!(matches!(instances.create(fresh, edits).await, Err(InstancesError::SecretNotOurs(_))));
    assert!(!scene.file("crm.fresh.yaml").exists());
}

#[tokio::test]
async fn an_instance_has_a_number_from_the_first_and_its_name_is_free_once_the_engine_has_let_go() {
    let scene = Scene::new();
    let instances = scene.instances();
    let created = instances.create(instance("keap"), secrets("a")).await.unwrap().instance;
    let uid = created.metadata.uid.clone().unwrap();
    assert_eq!(crate::instances::number_of(&created), Some(number(&uid)));
    assert!(fs::read_to_string(scene.file("crm.keap.yaml")).unwrap().contains(&number(&uid).to_string()));
    assert_eq!(scene.store.load(&of("keap")).unwrap().unwrap().uid, uid);
    assert_eq!(crate::instances::number_of(&instances.get(&of("theirs")).await.unwrap()), None, "it has not begun");

    // it does not run yet
    instances.delete(&of("keap")).await.unwrap();
    assert_eq!(scene.store.load(&of("keap")).unwrap(), None);
    let again = instances.create(instance("keap"), secrets("a")).await.unwrap().instance;
    assert_ne!(again.metadata.uid.unwrap(), uid, "it is another one");

    // the engine has it
    instances.replace(&mut scene.read());
    instances.delete(&of("keap")).await.unwrap();
    assert!(scene.store.load(&of("keap")).unwrap().is_some());
    let refused = instances.create(instance("keap"), secrets("a")).await;
    assert!(matches!(refused, Err(InstancesError::Leaving(_))), "{refused:?}");
    scene.store.removed(&of("keap"));
    assert_eq!(scene.store.load(&of("keap")).unwrap(), None);
    assert!(instances.create(instance("keap"), secrets("a")).await.unwrap().is_new);
}

#[tokio::test]
async fn the_last_one_goes_where_none_need_be() {
    let scene = Scene::new();
    fs::remove_file(scene.file("theirs.yaml")).unwrap();
    let sources = Sources::new(vec![scene.manifests.path().to_owned()], None);
    assert!(Definitions::read(&sources).is_err());
    let sources = sources.with_least(Least::None);
    let read = || Definitions::read(&sources).unwrap();
    let folder = sources.folder().map(ToOwned::to_owned);
    let instances = FolderInstances::new(folder, Arc::clone(&scene.store), sources.least(), &mut read(), commands());
    instances.create(instance("keap"), SecretEdits::default()).await.unwrap();
    instances.delete(&of("keap")).await.unwrap();
    assert!(read().planned.is_empty());
}

#[tokio::test]
async fn a_damaged_file_of_ones_own_is_called_so() {
    let scene = Scene::new();
    let instances = scene.instances();
    let created = instances.create(instance("keap"), secrets("a")).await.unwrap().instance;
    let text = fs::read_to_string(scene.file("crm.keap.yaml")).unwrap();
    fs::write(scene.file("crm.keap.yaml"), text.replace("baseUrl", "baseUri")).unwrap();
    for refused in [
        instances.update(created.clone(), SecretEdits::default()).await.unwrap_err(),
        instances.delete(&of("keap")).await.unwrap_err(),
        instances.create(instance("keap"), secrets("b")).await.unwrap_err(),
    ] {
        let words = refused.to_string();
        assert!(matches!(refused, InstancesError::Damaged(..)) && words.contains("baseUri"), "{words}");
    }
}

#[tokio::test]
async fn an_instance_whose_file_cannot_be_used_is_known_as_before() {
    let scene = Scene::new();
    let instances = scene.instances();
    let first = scene.read();
    fs::write(scene.file("theirs.yaml"), "a: [").unwrap();
    instances.create(instance("keap"), secrets("a")).await.unwrap();
    let sources = Sources::new(vec![scene.manifests.path().to_owned()], None);
    let (mut read, errors) = Definitions::read_over(&sources, &first).unwrap();
    assert!(errors.is_some() && read.planned.len() == 2);
    instances.replace(&mut read);
    assert_eq!(instances.list(None).await.unwrap().len(), 2);
    assert_eq!(instances.get(&of("theirs")).await.unwrap().spec.resources.len(), 1);
    // One that is deleted meanwhile goes, and its name and Secrets are free.
    instances.delete(&of("keap")).await.unwrap();
    let (mut read, _) = Definitions::read_over(&sources, &read).unwrap();
    assert!(read.planned.len() == 1 && read.secrets.names().count() == 0);
    instances.replace(&mut read);
    scene.store.removed(&of("keap"));
    assert!(instances.create(instance("keap"), secrets("b")).await.unwrap().is_new);
}

#[tokio::test]
async fn what_an_earlier_process_left_unfinished_is_removed_and_nothing_of_others() {
    let scene = Scene::new();
    let first_line = crate::local::files::MANAGED;
    for (name, text, stays) in [
        ("crm.keap.yaml.new", &*format!("{first_line}\nsecret: hunter2\n"), false),
        ("crm.cut.yaml.new", &first_line[..7], false),
        ("crm.empty.yaml.new", "", false),
        ("notes.yaml.new", "theirs: true\n", true),
        ("notes.new", first_line, true),
        ("crm.other.yaml", &*format!("{first_line}\n# empty\n"), true),
    ] {
        fs::write(scene.file(name), text).unwrap();
        scene.instances();
        assert_eq!(scene.file(name).exists(), stays, "{name}");
    }
}
