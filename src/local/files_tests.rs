use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A folder, what was seen in it last, and whether that changed.
struct Watched {
    root: TempDir,
    sources: Sources,
    last: Look,
}

impl Watched {
    fn new(make: impl FnOnce(&Path)) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("m")).unwrap();
        make(root.path());
        let sources = Sources::new(vec![root.path().join("m")], None);
        let last = sources.look(None);
        Self { root, sources, last }
    }

    /// Whether a look sees a change; twice the same look sees none.
    fn changes(&mut self, how: impl FnOnce(&Path)) -> bool {
        how(self.root.path());
        let now = self.sources.look(Some(&self.last));
        assert!(now == self.sources.look(Some(&now)), "nothing changes by looking");
        let changed = now != self.last;
        self.last = now;
        changed
    }
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Gives a file the times of a Nix store.
fn age(path: impl AsRef<Path>) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))).unwrap();
}

fn turn(link: PathBuf, to: impl AsRef<Path>) {
    let new = link.with_file_name("turning");
    symlink(to, &new).unwrap();
    fs::rename(new, link).unwrap();
}

/// Each way leaves name, size and time of change as they were.
#[test]
fn other_bytes_of_one_size_and_time_are_a_change() {
    type Step = fn(&Path);
    let ways: [(&str, Step, Step); 7] = [
        (
            "a link is turned to another file of a store",
            |at| {
                for (name, text) in [("a", "a: 1"), ("b", "a: 2")] {
                    write(at.join(name).join("x.yaml"), text);
                    age(at.join(name).join("x.yaml"));
                }
                turn(at.join("m/x.yaml"), at.join("a/x.yaml"));
            },
            |at| turn(at.join("m/x.yaml"), at.join("b/x.yaml")),
        ),
        (
            "a ConfigMap swaps ..data",
            |at| {
                for (name, text) in [("..1", "a: 1"), ("..2", "a: 2")] {
                    write(at.join("m").join(name).join("x.yaml"), text);
                    age(at.join("m").join(name).join("x.yaml"));
                }
                turn(at.join("m/..data"), "..1");
                symlink("..data/x.yaml", at.join("m/x.yaml")).unwrap();
            },
            |at| turn(at.join("m/..data"), "..2"),
        ),
        (
            "a folder among the manifests is a link, and turned",
            |at| {
                for (name, text) in [("a", "a: 1"), ("b", "a: 2")] {
                    write(at.join(name).join("x.yaml"), text);
                    age(at.join(name).join("x.yaml"));
                }
                turn(at.join("m/sub"), at.join("a"));
            },
            |at| turn(at.join("m/sub"), at.join("b")),
        ),
        ("an editor writes in place", |at| write(at.join("m/x.yaml"), "a: 1"), |at| write(at.join("m/x.yaml"), "a: 2")),
        (
            "written in place, and the time put back",
            |at| {
                write(at.join("m/x.yaml"), "a: 1");
                age(at.join("m/x.yaml"));
            },
            |at| {
                write(at.join("m/x.yaml"), "a: 2");
                age(at.join("m/x.yaml"));
            },
        ),
        (
            "renamed over it with its time (cp -p, rsync -t)",
            |at| {
                write(at.join("m/x.yaml"), "a: 1");
                age(at.join("m/x.yaml"));
            },
            |at| {
                write(at.join("new"), "a: 2");
                age(at.join("new"));
                fs::rename(at.join("new"), at.join("m/x.yaml")).unwrap();
            },
        ),
        (
            "removed and made again",
            |at| write(at.join("m/x.yaml"), "a: 1"),
            |at| {
                fs::remove_file(at.join("m/x.yaml")).unwrap();
                write(at.join("m/x.yaml"), "a: 2");
            },
        ),
    ];
    for (way, before, after) in ways {
        let mut watched = Watched::new(before);
        assert!(watched.changes(after), "{way}");
    }
}

#[test]
fn files_folders_and_links_take_each_others_place() {
    let mut watched = Watched::new(|at| write(at.join("m/x.yaml"), "a: 1"));
    assert!(watched.changes(|at| {
        fs::remove_file(at.join("m/x.yaml")).unwrap();
        write(at.join("m/x.yaml/y.yaml"), "a: 1");
    }));
    assert!(watched.changes(|at| {
        fs::remove_dir_all(at.join("m/x.yaml")).unwrap();
        symlink("nowhere", at.join("m/x.yaml")).unwrap();
    }));
    assert!(watched.changes(|at| write(at.join("m/nowhere"), "a: 1")));
    assert!(watched.changes(|at| fs::remove_file(at.join("m/x.yaml")).unwrap()));
    assert!(watched.changes(|at| fs::remove_dir_all(at.join("m")).unwrap()));
    assert!(watched.changes(|at| write(at.join("m"), "a: 1")), "a file where a folder was");
}

#[test]
fn the_same_bytes_are_no_change() {
    let mut watched = Watched::new(|at| {
        write(at.join("m/x.yaml"), "a: 1");
        write(at.join("other.yaml"), "a: 1");
    });
    assert!(!watched.changes(|at| age(at.join("m/x.yaml"))), "touched");
    assert!(!watched.changes(|at| fs::rename(at.join("other.yaml"), at.join("m/x.yaml")).unwrap()), "replaced");
    assert!(!watched.changes(|at| write(at.join("m/notes.txt"), "b")), "no manifest");
    assert!(!watched.changes(|at| write(at.join("m/.hidden.yaml"), "b")), "hidden");
}

/// A file system may keep a file's times when it changes twice within their grain: until then only the bytes count.
#[test]
fn a_young_stamp_is_not_believed() {
    let stamp = |modified, changed| Stamp { device: 1, inode: 1, size: 1, modified: (modified, 0), changed: (changed, 0) };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for (modified, changed, settled) in
        [(1, 1, true), (997, 997, true), (998, 1, false), (1, 999, false), (1000, 1000, false), (5000, 1, false)]
    {
        assert_eq!(stamp(modified, changed).is_settled(now), settled, "{modified} {changed}");
    }
}

#[test]
fn each_file_is_read_once_and_links_in_circles_end() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    write(at("m/a.yaml"), "a: 1");
    write(at("m/sub/c.json"), "{}");
    symlink("a.yaml", at("m/b.yaml")).unwrap();
    symlink("..", at("m/sub/up")).unwrap();
    let sources = Sources::new(vec![at("m"), at("m/a.yaml"), at("m/sub")], None);
    let names: Vec<_> = sources.manifests().map(|file| file.unwrap().0).collect();
    assert_eq!(names, [at("m/a.yaml").display().to_string(), at("m/sub/c.json").display().to_string()]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(root.path().join("latin.yaml"), b"a: 1\n# M\xfcller\n").unwrap();
    symlink("nowhere", at("x.yml")).unwrap();
    let sources = Sources::new(vec![root.path().to_owned(), at("absent")], None);
    let told: Vec<_> = sources.manifests().map(|file| file.unwrap_err().to_string()).collect();
    let shown = root.path().display().to_string();
    assert_eq!(
        told[0],
        format!("{shown}/latin.yaml: line 2: is not UTF-8, perhaps an older encoding such as Windows-1252; save it as UTF-8")
    );
    assert!(told[1].starts_with(&format!("{shown}/x.yml: cannot be read: No such file")), "{told:?}");
    assert!(told[2].starts_with(&format!("{shown}/absent: cannot be read: ")), "{told:?}");
}
