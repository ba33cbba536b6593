//! `pollinator verify KEY`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::own_catalog::OwnCatalog;
use crate::api::connector::ConnectorSpec;
use crate::catalog;
use crate::exchanges::verify::verify;
use crate::exchanges::{ENDING, FOLDER, Recording};
use crate::observe::output;

/// Reads recorded exchanges by what an entry of the catalog says, and reports where they disagree.
///
/// The exchanges of DIR/KEY/exchanges are repeated by a server on loopback that knows only the recorded requests. The entry is
/// DIR/KEY/connector.yaml, or the built-in one if there is no such file.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Key of the entry.
    key: String,
    /// Folder of the catalog.
    #[arg(long, value_name = "DIR", default_value = "catalog")]
    dir: PathBuf,
}

/// 0 when entry and exchanges agree, 1 when they do not, 2 when there are none or they cannot be read.
pub async fn run(args: VerifyArgs) -> ExitCode {
    match Box::pin(all(&args)).await {
        Ok(true) => output::finish(ExitCode::SUCCESS),
        Ok(false) => output::finish(ExitCode::FAILURE),
        Err(why) => {
            output::error(format_args!("pollinator: {why}"));
            ExitCode::from(2)
        }
    }
}

async fn all(args: &VerifyArgs) -> Result<bool, String> {
    let folder = args.dir.join(&args.key);
    let own = entry(&folder.join("connector.yaml"), &args.key)?;
    let built_in = OwnCatalog::default();
    let spec = match &own {
        Some(spec) => spec,
        None => built_in.entry(&args.key)?,
    };
    let recordings = recordings(&folder.join(FOLDER))?;
    let mut agree = true;
    for (name, recording) in &recordings {
        let verdict = verify(&args.key, spec, recording).await;
        output::line(format_args!("{}, resource {}", args.key, recording.head.resource));
        for seen in &verdict.seen {
            output::line(format_args!("  seen:      {seen}"));
        }
        for disagreement in &verdict.disagreements {
            agree = false;
            output::line(format_args!("  disagrees: {disagreement} ({name})"));
        }
    }
    let is_recorded = |name: &str| recordings.values().any(|recording| recording.head.resource == name);
    let missing: Vec<_> = spec.resources.iter().map(|of| &*of.resource.name).filter(|name| !is_recorded(name)).collect();
    if !missing.is_empty() {
        output::line(format_args!("not recorded: {}", missing.join(", ")));
    }
    Ok(agree)
}

/// The entry in a file; `None`: there is no such file.
fn entry(path: &Path, key: &str) -> Result<Option<ConnectorSpec>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let (name, spec) = catalog::entry(&path.display().to_string(), &text).map_err(|errors| errors.join("\n"))?;
    if name != key {
        return Err(format!("{}: metadata.name is {name}; it must be {key}, as its folder", path.display()));
    }
    Ok(Some(spec))
}

/// The recordings in a folder, by the names of their files.
fn recordings(folder: &Path) -> Result<BTreeMap<String, Recording>, String> {
    let none = || format!("{} holds no recorded exchanges; make some with pollinator record", folder.display());
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(none()),
        Err(error) => return Err(format!("{} cannot be listed: {error}", folder.display())),
    };
    let mut found = BTreeMap::new();
    for file in files {
        let path = file.map_err(|error| format!("{} cannot be listed: {error}", folder.display()))?.path();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let recording = Recording::read(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        found.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), recording);
    }
    if found.is_empty() { Err(none()) } else { Ok(found) }
}
