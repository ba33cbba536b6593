//! Volumes as folders: which files are in one, and how they are replaced at once.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume};

use super::environment::{Place, field};
use super::sources::Sources;

/// Files by their path in the volume. `None`: a folder of the pod's own.
pub type Files = Option<BTreeMap<String, Vec<u8>>>;

/// What is in a volume. An error is the message of a mount that waits, or says what this kubelet cannot do.
pub fn files(pod: &Pod, volume: &Volume, sources: &Sources, place: &Place) -> Result<Files, String> {
    let mut files = BTreeMap::new();
    if volume.empty_dir.is_some() {
        return Ok(None);
    } else if let Some(map) = &volume.config_map {
        files.extend(entries("configmap", &map.name, map.items.as_deref(), map.optional, sources)?);
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        files.extend(entries("secret", name, secret.items.as_deref(), secret.optional, sources)?);
    } else if let Some(downward) = &volume.downward_api {
        files.extend(fields(pod, downward.items.as_deref(), place)?);
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            if let Some(map) = &source.config_map {
                files.extend(entries("configmap", &map.name, map.items.as_deref(), map.optional, sources)?);
            } else if let Some(secret) = &source.secret {
                files.extend(entries("secret", &secret.name, secret.items.as_deref(), secret.optional, sources)?);
            } else if let Some(downward) = &source.downward_api {
                files.extend(fields(pod, downward.items.as_deref(), place)?);
            } else if let Some(token) = &source.service_account_token {
                let granted = sources.token(token).ok_or("no token was granted")?;
                files.insert(token.path.clone(), granted.as_bytes().to_vec());
            } else {
                return Err(format!("this kubelet cannot project all sources of volume {}", volume.name));
            }
        }
    } else {
        return Err(format!("this kubelet cannot mount volume {}", volume.name));
    }
    Ok(Some(files))
}

fn entries(
    kind: &'static str,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    sources: &Sources,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let is_optional = optional == Some(true);
    let Some(found) = sources.entries(kind, name) else {
        return if is_optional { Ok(BTreeMap::new()) } else { Err(format!("{kind} \"{name}\" not found")) };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(found.clone()) };
    let mut files = BTreeMap::new();
    for item in items {
        match found.get(&item.key) {
            Some(value) => drop(files.insert(item.path.clone(), value.clone())),
            None if is_optional => {}
            None => return Err(format!("{kind} {name} references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

fn fields(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>, place: &Place) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    for item in items.unwrap_or_default() {
        let path = item.field_ref.as_ref().ok_or("this kubelet knows fieldRef alone in downwardAPI volumes")?;
        files.insert(item.path.clone(), field(pod, &path.field_path, place)?.into_bytes());
    }
    Ok(files)
}

/// Makes a folder hold these files. As in a cluster, each name is a link through `..data`, which is exchanged in one step, so that
/// a reader sees all old files or all new ones. What is as it should be is left alone.
pub fn write(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let Some(files) = files else {
        return fs::set_permissions(folder, Permissions::from_mode(0o777));
    };
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    let data = folder.join("..data");
    let old = fs::read_link(&data).ok();
    if old.is_some() && is_written(&data, files) {
        return Ok(());
    }
    let number = old.as_ref().and_then(|old| old.to_str()?.strip_prefix("..")?.parse().ok()).unwrap_or(0_u64) + 1;
    let (name, link) = (format!("..{number}"), folder.join("..next"));
    for (path, content) in files {
        let path = folder.join(&name).join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    fs::create_dir_all(folder.join(&name))?;
    symlink(&name, &link)?;
    fs::rename(&link, &data)?;
    for first in files.keys().map(|path| path.split('/').next().unwrap_or_default()) {
        let target = Path::new("..data").join(first);
        if fs::symlink_metadata(folder.join(first)).is_err() {
            symlink(target, folder.join(first))?;
        }
    }
    let dangling = fs::read_dir(folder)?.flatten().filter(|entry| entry.path().is_symlink() && !entry.path().exists());
    dangling.for_each(|entry| drop(fs::remove_file(entry.path())));
    old.map_or(Ok(()), |old| fs::remove_dir_all(folder.join(old)))
}

fn is_written(data: &Path, files: &BTreeMap<String, Vec<u8>>) -> bool {
    let count = fs::read_dir(data).map_or(0, Iterator::count);
    let tops: std::collections::BTreeSet<_> = files.keys().map(|path| path.split('/').next()).collect();
    count == tops.len() && files.iter().all(|(path, content)| fs::read(data.join(path)).is_ok_and(|have| have == *content))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    fn all(volume: serde_json::Value) -> Result<Files, String> {
        let pod = json!({"metadata": {"namespace": "ns", "labels": {"a": "b"}}, "spec": {"containers": []}});
        let mut sources = Sources::default();
        sources.put("configmap", "map", [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())].into());
        let place = Place { ip: Ipv4Addr::LOCALHOST, node: String::new(), api_server: (String::new(), String::new()) };
        let (pod, volume) = (serde_json::from_value(pod).unwrap(), serde_json::from_value(volume).unwrap());
        files(&pod, &volume, &sources, &place)
    }

    #[test]
    fn each_kind_has_its_files() {
        let some = |files: &[(&str, &str)]| {
            Ok(Some(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()))
        };
        assert_eq!(all(json!({"name": "v", "emptyDir": {}})), Ok(None));
        assert_eq!(all(json!({"name": "v", "configMap": {"name": "map"}})), some(&[("a", "1"), ("b", "2")]));
        let items = json!({"name": "v", "configMap": {"name": "map", "items": [{"key": "b", "path": "x/y"}]}});
        assert_eq!(all(items), some(&[("x/y", "2")]));
        assert_eq!(all(json!({"name": "v", "secret": {"secretName": "no", "optional": true}})), some(&[]));
        let field = json!([{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]);
        assert_eq!(all(json!({"name": "v", "downwardAPI": {"items": field.clone()}})), some(&[("ns", "ns")]));
        let sources = json!([{"configMap": {"name": "map"}}, {"downwardAPI": {"items": field}}]);
        assert_eq!(all(json!({"name": "v", "projected": {"sources": sources}})), some(&[("a", "1"), ("b", "2"), ("ns", "ns")]));
        for (volume, says) in [
            (json!({"name": "v", "secret": {"secretName": "no"}}), "secret \"no\" not found"),
            (json!({"name": "v", "hostPath": {"path": "/"}}), "cannot mount volume v"),
        ] {
            assert!(all(volume).unwrap_err().contains(says));
        }
    }

    #[test]
    fn files_are_exchanged_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let put = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
            write(folder.path(), &Some(files)).unwrap();
            fs::read_link(folder.path().join("..data")).unwrap()
        };
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).ok();
        let first = put(&[("a", "1"), ("d/b", "2")]);
        assert_eq!((read("a").as_deref(), read("d/b").as_deref()), (Some("1"), Some("2")));
        assert_eq!(put(&[("a", "1"), ("d/b", "2")]), first, "nothing changed");
        assert_ne!(put(&[("a", "3")]), first);
        assert_eq!((read("a").as_deref(), read("d/b")), (Some("3"), None));
        assert!(fs::symlink_metadata(folder.path().join("d")).is_err());
        assert!(fs::symlink_metadata(folder.path().join(first)).is_err());
    }
}
