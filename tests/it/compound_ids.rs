//! Lists in which records of several kinds have the same id: each record is an object of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Site, binary};
use crate::rig::receiver::Receiver;

type Items = BTreeMap<(&'static str, u32), &'static str>;

/// A folder with items, by kind and id, and their names.
struct Folder {
    server: Server,
    items: Arc<Mutex<Items>>,
}

impl Folder {
    fn with(items: impl IntoIterator<Item = ((&'static str, u32), &'static str)>) -> Self {
        let items: Arc<Mutex<Items>> = Arc::new(Mutex::new(items.into_iter().collect()));
        let listed = Arc::clone(&items);
        let server = Server::start(move |_| {
            let items = listed.lock().unwrap_or_else(PoisonError::into_inner);
            let row = |((kind, id), name): (&(&str, u32), &&str)| format!(r#"{{"id":{id},"name":"{name}","type":"{kind}"}}"#);
            Answer::json(format!(r#"{{"entries":[{}]}}"#, items.iter().map(row).collect::<Vec<_>>().join(",")))
        });
        Self { server, items }
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self, receiver: &Receiver, id: &str) -> Instance {
        let resource = format!(
            "url: /folders/0/items\nrecordsPath: entries\n{id}\npagination: {{none: {{}}}}\ndeletes: {{snapshot: {{}}}}"
        );
        Instance::new("it", &self.server.url(), &receiver.url("it")).earliest().resource(&resource)
    }
}

/// Kinds, ids and data of the events that came behind the first ones.
fn behind(receiver: &Receiver, first: usize) -> Vec<(Kind, String, String)> {
    let mut came: Vec<_> =
        receiver.delivered("it").into_iter().skip(first).map(|event| (event.kind, event.object, event.data)).collect();
    came.sort_by(|one, other| one.1.cmp(&other.1));
    came
}

#[test]
fn records_with_the_same_id_and_another_type_are_objects_of_their_own() {
    let folder = Folder::with([(("file", 1), "a"), (("file", 2), "b"), (("folder", 1), "c"), (("web:link%", 1), "d")]);
    let receiver = Receiver::start();
    let event = |kind, id: &str, data: &str| (kind, id.to_owned(), data.to_owned());
    // each poll is that of a process of its own, which has nothing but the state folder
    let polls = Polls::new(&[folder.instance(&receiver, "idFields: [type, id]").yaml()]);
    assert!(!polls.poll().tells("RepeatedId"));
    let created = [
        event(Kind::Created, "file:1", r#"{"id":1,"name":"a","type":"file"}"#),
        event(Kind::Created, "file:2", r#"{"id":2,"name":"b","type":"file"}"#),
        event(Kind::Created, "folder:1", r#"{"id":1,"name":"c","type":"folder"}"#),
        event(Kind::Created, "web%3Alink%25:1", r#"{"id":1,"name":"d","type":"web:link%"}"#),
    ];
    assert_eq!(behind(&receiver, 0), created);
    polls.poll();
    assert_eq!(behind(&receiver, 4), [], "nothing is sent twice");

    folder.items().insert(("file", 1), "a2");
    polls.poll();
    assert_eq!(behind(&receiver, 4), [event(Kind::Updated, "file:1", r#"{"id":1,"name":"a2","type":"file"}"#)]);
    folder.items().extend([(("folder", 1), "c2"), (("web:link%", 1), "d2")]);
    polls.poll();
    let both = [
        event(Kind::Updated, "folder:1", r#"{"id":1,"name":"c2","type":"folder"}"#),
        event(Kind::Updated, "web%3Alink%25:1", r#"{"id":1,"name":"d2","type":"web:link%"}"#),
    ];
    assert_eq!(behind(&receiver, 5), both);

    // one of three that have this id is deleted, and the others live on
    folder.items().remove(&("folder", 1));
    polls.poll();
    assert_eq!(behind(&receiver, 7), [], "once is not enough");
    polls.poll();
    assert_eq!(behind(&receiver, 7), [event(Kind::Deleted, "folder:1", r#"{"type":"folder","id":1}"#)]);
    folder.items().insert(("file", 1), "a3");
    polls.poll();
    assert_eq!(behind(&receiver, 8), [event(Kind::Updated, "file:1", r#"{"id":1,"name":"a3","type":"file"}"#)]);
    polls.poll();
    assert_eq!(receiver.delivered("it").len(), 9);
    let ids: std::collections::BTreeSet<_> = receiver.delivered("it").into_iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 9, "each event has an id of its own");
}

#[test]
fn a_repeated_id_is_reported_with_the_way_out_which_begins_again_with_every_record() {
    let folder = Folder::with([(("file", 1), "a"), (("folder", 1), "c")]);
    let receiver = Receiver::start();
    let single = folder.instance(&receiver, "idField: id");
    let mut polls = Polls::new(&[single.yaml()]);
    let told = polls.poll().told("RepeatedId").expect("two records have one id");
    assert!(told.contains("or idFields to the members that are unique together, such as [type, id]"), "{told}");
    assert_eq!(receiver.delivered("it").len(), 1, "one of the two is missed");
    let site = Site::new(&[single.yaml()]);
    let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(
        tried.contains("1 records have an id that another record of the same page has") && tried.contains("idFields"),
        "{tried}"
    );

    polls.rewrite(&[folder.instance(&receiver, "idFields: [type, id]").yaml()]);
    assert!(!polls.poll().tells("RepeatedId"));
    let objects: Vec<_> = behind(&receiver, 1).into_iter().map(|(kind, object, _)| (kind, object)).collect();
    assert_eq!(objects, [(Kind::Created, "file:1".to_owned()), (Kind::Created, "folder:1".to_owned())]);
    // a member that no record has
    polls.rewrite(&[folder.instance(&receiver, "idFields: [kind, id]").yaml()]);
    let told = polls.poll().told("MissingId").expect("no record has an id");
    assert!(told.ends_with("at kind, so nothing can be delivered; name members that every record has"), "{told}");
}
