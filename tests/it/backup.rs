//! `pollinator state export` and `import`: an instance goes to another place, and nothing is lost, repeated or told under another id.

use std::fs;
use std::path::Path;

use crate::rig::control_plane::shared;
use crate::rig::manifest::{self, Instance};
use crate::rig::operator::Cluster;
use crate::rig::oracle::Delivered;
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::receiver::Receiver;
use crate::rig::scene::{BY_CONTENT, Scene, ids};
use crate::rig::{PATIENCE, assert_perfect, canary, provider, settle};

/// `pollinator state …`: how it ended, and what it said.
fn state(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.arg("state").args(arguments);
    let mut run = site.spawn(command);
    let code = run.wait().code();
    (code, run.stderr())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

/// One place at which an instance continues, with a receiver of its own.
struct Place {
    site: Site,
    receiver: Receiver,
}

impl Place {
    fn new(provider: &str) -> Self {
        let receiver = Receiver::start();
        let instance = Instance::new("it", provider, &receiver.url("it")).basic_auth().resource(BY_CONTENT);
        Self { site: Site::new(&[instance.yaml()]), receiver }
    }

    fn start(&self) -> Pollinator {
        let pollinator = self.site.start();
        pollinator.wait_ready("it");
        pollinator
    }
}

/// Id and object of the latest of so many events.
fn told(receiver: &Receiver, count: usize, by: &Pollinator) -> (String, String) {
    let came =
        receiver.try_wait("it", PATIENCE, |posts| (posts.iter().filter(|post| post.accepted()).count() >= count).then_some(()));
    assert!(came.is_some(), "fewer than {count}\n{}", by.report("it"));
    let Delivered { event_id, object, .. } = receiver.delivered("it").remove(count - 1);
    (event_id, object)
}

#[test]
fn the_state_of_a_folder_continues_in_a_folder_and_in_a_cluster_with_the_same_ids() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "moved");
    let provider = &cluster.provider;
    provider.baseline(ids("old", 700));
    let old = Place::new(&provider.url());
    let mut pollinator = old.start();
    provider.create_all(ids("before", 2));
    assert_perfect(&settle(&old.receiver, "it", || provider.truth(), provider::version), &pollinator, "it");

    // taken while it runs, and once more when it has stopped
    let file = old.site.path().join("backup");
    let export = |out: &Path| state(&old.site, &["export", "-A", "--state", text(&old.site.state()), "--out", text(out)]);
    assert_eq!(export(&file).0, Some(0));
    assert!(pollinator.sigterm().success());
    let (code, said) = export(&file);
    assert!(code == Some(2) && said.contains("no backup is replaced"), "{said}");
    fs::remove_file(&file).unwrap();
    let (code, said) = export(&file);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it/it: exported: 1 resource(s), 702 known record(s)") && said.contains("no Secrets"), "{said}");
    assert_eq!(canary::find_in(&fs::read_to_string(&file).unwrap()), None);

    // another folder, and a cluster whose operator has the instance already
    let new = Place::new(&provider.url());
    let into_folder = |place: &Place, more: &[&str]| {
        state(&place.site, &[&["import", text(&file), "--state", text(&place.site.state())][..], more].concat())
    };
    assert_eq!(into_folder(&new, &[]).0, Some(0));
    cluster.apply(&cluster.instance().resource(BY_CONTENT).spec("suspend: true"));
    let operator = cluster.start();
    cluster.ns.wait_condition("it", "Ready", "True", "Suspended");
    let to = ["import", text(&file), "--kubeconfig", text(cluster.ns.kubeconfig()), "--namespace", cluster.ns.name()];
    let (code, said) = state(&old.site, &to);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = state(&old.site, &to);
    assert!(code == Some(1) && said.contains("--overwrite replaces it"), "{said}");
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "--patch", r#"{"spec":{"suspend":false}}"#]).ok();
    cluster.wait_ready("it");
    let (code, said) = state(&old.site, &[&to[..], &["--overwrite"]].concat());
    assert!(code == Some(1) && said.contains("spec.suspend is not true"), "{said}");

    // what happens next is told at each place once, under one id
    let mut elsewhere = new.start();
    let old_again = Place { site: old.site, receiver: Receiver::start() };
    let instance = Instance::new("it", &provider.url(), &old_again.receiver.url("it")).basic_auth().resource(BY_CONTENT);
    manifest::write(&old_again.site.manifests(), "instances.yaml", &[instance.yaml()]);
    let before = old_again.start();
    provider.create("after");
    let expected = told(&old_again.receiver, 1, &before);
    assert_eq!(expected.1, "after");
    for (receiver, by) in [(&new.receiver, &elsewhere), (&cluster.receiver, &operator)] {
        assert_eq!(told(receiver, 1, by), expected, "{}", by.report("it"));
    }
    provider.wait_polled(6);
    for receiver in [&old_again.receiver, &new.receiver, &cluster.receiver] {
        assert_eq!(receiver.count(), 1);
    }

    // and from the cluster, while it is polled, back into a folder
    cluster.ns.wait_instance("it", "a stored count", |one| (one["status"]["delivered"] == 3).then_some(()));
    assert!(elsewhere.sigterm().success());
    let back = old_again.site.path().join("back");
    let from = ["export", "it", "--kubeconfig", text(cluster.ns.kubeconfig()), "--namespace", cluster.ns.name()];
    let (code, said) = state(&new.site, &[&from[..], &["--out", text(&back)]].concat());
    assert!(code == Some(0) && said.contains("703 known record(s)"), "{said}");
    let folder = new.site.state();
    let import = ["import", text(&back), "--state", text(&folder), "--namespace", "it"];
    assert_eq!(state(&new.site, &import).0, Some(1), "it has a state");
    assert_eq!(state(&new.site, &[&import[..], &["--overwrite"]].concat()).0, Some(0));
    let elsewhere = new.start();
    provider.update("old-00007");
    assert_eq!(told(&new.receiver, 2, &elsewhere), told(&cluster.receiver, 2, &operator));
}

#[test]
fn a_file_that_is_cut_or_of_another_program_changes_nothing() {
    let scene = Scene::new();
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("r", 3));
    scene.assert_perfect(&pollinator);
    let file = scene.site.path().join("backup");
    let folder = scene.site.state();
    assert!(pollinator.sigterm().success());
    assert_eq!(state(&scene.site, &["export", "it", "-n", "it", "--state", text(&folder), "--out", text(&file)]).0, Some(0));
    let whole = fs::read(&file).unwrap();
    let before = fs::read(scene.state_file()).unwrap();
    let import = ["import", text(&file), "--state", text(&folder), "--overwrite"];
    for (bytes, refusal) in [
        (&whole[..whole.len() / 2], "the file is cut: 0 of its 1 instances are complete"),
        (&b"apiVersion: v1\n"[..], "was not written by `pollinator state export`"),
        (&before[..], "was not written by `pollinator state export`"),
    ] {
        fs::write(&file, bytes).unwrap();
        let (code, said) = state(&scene.site, &import);
        assert!(code == Some(2) && said.contains(refusal), "{said}");
        assert_eq!(fs::read(scene.state_file()).unwrap(), before);
    }
    // a state that is damaged is replaced on request alone
    fs::write(&file, &whole).unwrap();
    fs::write(scene.state_file(), &before[..before.len() / 2]).unwrap();
    let (code, said) = state(&scene.site, &import[..4]);
    assert!(code == Some(1) && said.contains("is damaged") && said.contains("--overwrite"), "{said}");
    assert_eq!(state(&scene.site, &import).0, Some(0));
    // and what runs is left alone
    let pollinator = scene.start();
    let (code, said) = state(&scene.site, &import);
    assert!(code == Some(2) && said.contains("in use by another process"), "{said}");
    scene.provider.create("after");
    scene.assert_perfect(&pollinator);
}
