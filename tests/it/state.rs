//! The state folder: shared, full, gone, damaged.

use std::fs;
use std::process::Command;

use crate::rig;
use crate::rig::http::Answer;
use crate::rig::manifest::Instance;
use crate::rig::provider::Provider;
use crate::rig::scene::{Scene, ids};

#[test]
fn a_second_process_is_kept_out_of_the_folder() {
    let scene = Scene::new();
    let mut first = scene.start();
    let mut second = scene.site.start();
    assert_eq!(second.wait().code(), Some(2));
    assert!(second.stderr().contains("in use by another process"), "{}", second.stderr());
    // and takes over once the first is gone, however it went
    first.kill9();
    let third = scene.site.start();
    scene.provider.create("after");
    third.wait_ready("it");
    scene.assert_perfect(&third);
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_at_the_start() {
    let scene = Scene::new();
    fs::write(scene.site.state(), "a file in the folder's place").unwrap();
    let mut pollinator = scene.site.start();
    assert_eq!(pollinator.wait().code(), Some(2));
    let told = pollinator.stderr();
    assert!(told.contains("--state") && told.contains("cannot be used"), "{told}");
    assert_eq!(scene.provider.asked(), 0);
}

#[test]
fn a_restart_after_sigterm_repeats_and_loses_nothing() {
    let scene = Scene::new();
    let mut pollinator = scene.start();
    for round in 0..4 {
        scene.provider.create_all(ids(&format!("round{round}"), 150));
        let some = round * 150 + 20;
        scene.wait_posts(some, &pollinator);
        // in the middle of delivering
        assert!(pollinator.sigterm().success());
        pollinator = scene.site.start();
    }
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_full_disk_stops_delivery_and_loses_nothing() {
    let scene = Scene::new();
    let mut pollinator = scene.start();
    assert!(pollinator.sigterm().success());
    // No file may grow beyond one block: a write fails as on a full disk, for root too. The signal that comes with it is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_pollinator"));
    command.arg("local").arg(scene.site.manifests()).arg("--state").arg(scene.site.state()).args(["--output", "json"]);
    let mut pollinator = scene.site.spawn(command);
    pollinator.wait_ready("it");
    scene.provider.create_all(ids("r", 400));
    let message = pollinator.wait_reason("it", "StateUnavailable");
    assert!(message.contains("make room"), "{message}");
    // it stops sending instead of repeating itself again and again
    assert!(scene.receiver.count() <= 256 * 2, "{} requests", scene.receiver.count());
    let sent = scene.receiver.count();
    pollinator.kill9();
    let pollinator = scene.site.start();
    let verdict = scene.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", pollinator.report("it"));
    assert!(verdict.duplicates.len() <= sent, "{verdict}");
}

#[test]
fn a_folder_that_vanishes_and_comes_back_loses_nothing() {
    let scene = Scene::new();
    let pollinator = scene.start();
    let aside = scene.site.path().join("aside");
    fs::rename(scene.site.state(), &aside).unwrap();
    scene.provider.create_all(ids("r", 50));
    pollinator.wait_reason("it", "StateUnavailable");
    fs::rename(&aside, scene.site.state()).unwrap();
    let verdict = scene.verdict();
    assert!(verdict.is_sound(), "{verdict}\n{}", pollinator.report("it"));
    pollinator.wait_for("it", "Ready again", |row| row.ready == "True" && !row.tells("StateUnavailable"));
}

#[test]
fn a_state_file_cut_in_half_is_refused_with_the_way_out() {
    let (scene, neighbour) = (Scene::new(), Provider::start());
    let beside = Instance::new("beside", &neighbour.url(), &scene.receiver.url("beside")).basic_auth();
    rig::manifest::write(&scene.site.manifests(), "beside.yaml", &[beside.yaml()]);
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("r", 20));
    scene.assert_perfect(&pollinator);
    assert!(pollinator.sigterm().success());
    let whole = fs::read(scene.state_file()).unwrap();
    fs::write(scene.state_file(), &whole[..whole.len() / 2]).unwrap();

    let asked = scene.provider.asked();
    let mut pollinator = scene.site.start();
    let message = pollinator.wait_reason("it", "StateUnavailable");
    assert!(
        message.contains("it.it.json") && message.contains("put back a copy") && message.contains("startFrom"),
        "{message}"
    );
    pollinator.wait_ready("beside");
    assert_eq!(scene.provider.asked(), asked, "damaged state is never taken for a fresh start");
    assert_eq!(fs::read(scene.state_file()).unwrap(), whole[..whole.len() / 2], "what is left is kept for the person");

    // the way out, while it runs or after: a copy put back
    pollinator.kill9();
    fs::write(scene.state_file(), &whole).unwrap();
    scene.provider.create("after");
    let pollinator = scene.start();
    scene.assert_perfect(&pollinator);
}

#[test]
fn state_of_a_newer_version_is_left_alone() {
    let scene = Scene::new();
    let mut pollinator = scene.start();
    assert!(pollinator.sigterm().success());
    let newer = fs::read_to_string(scene.state_file()).unwrap().replacen("\"format\":2", "\"format\":99", 1);
    assert!(newer.contains("99"), "{newer}");
    fs::write(scene.state_file(), &newer).unwrap();
    let pollinator = scene.site.start();
    let message = pollinator.wait_reason("it", "StateUnavailable");
    assert!(message.contains("newer version"), "{message}");
    assert_eq!(fs::read_to_string(scene.state_file()).unwrap(), newer);
}

#[test]
fn once_polls_once_and_says_how_it_went() {
    let scene = Scene::new();
    let once = |scene: &Scene| {
        let mut command = scene.site.command();
        command.arg("--once");
        scene.site.spawn(command)
    };
    assert_eq!(once(&scene).wait().code(), Some(0));
    scene.provider.create_all(ids("r", 30));
    let mut second = once(&scene);
    assert_eq!(second.wait().code(), Some(0), "{}", second.stderr());
    scene.assert_perfect(&second);
    scene.provider.misbehave(|_| Some(Answer::status(500)));
    let mut third = once(&scene);
    assert_eq!(third.wait().code(), Some(1));
    assert!(third.stderr().contains("ProviderError"), "{}", third.stderr());
}
