//! `pollinator import FILE…`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::own_catalog::CatalogFolder;
use crate::api::{encoding, names};
use crate::import::{Imported, Options, Source, Written, import};
use crate::observe::output;

/// Largest file that is read, in bytes: an export of some ten thousand instances.
const MAX_FILE: u64 = 64 << 20;
/// The report in the folder.
const REPORT: &str = "import-report.txt";

/// Imports configurations of SAP Open Connectors: writes manifests, Secrets apart from them, and a report.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Instances (a body of POST /instances, or what GET /instances answers), poller configurations, event.poller.urls, element.json; -
    /// for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the files; it is created if it does not exist, and no file in it is replaced. Default: manifests are printed to
    /// standard output with placeholders in all Secrets, and the report to standard error.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Namespace of all manifests. Default: none is written.
    #[arg(long, value_name = "NS", value_parser = parse_namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    catalog: CatalogFolder,
}

/// 0 when there is nothing to do for a person, 2 when there is or when a file cannot be read, 1 when nothing could be written.
pub fn run(args: &ImportArgs) -> ExitCode {
    let own = match args.catalog.read() {
        Ok(own) => own,
        Err(why) => {
            output::error(format_args!("pollinator: {why}"));
            return ExitCode::from(2);
        }
    };
    let mut errors = Vec::new();
    let mut texts = Vec::new();
    for path in &args.files {
        match read(path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(error) => errors.push(format!("{}: {error}", path.display())),
        }
    }
    let sources: Vec<_> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let options = Options { namespace: args.namespace.as_deref(), withhold_secrets: args.out.is_none(), own: Some(&own.specs) };
    let imported = import(&sources, options);
    errors.extend(imported.errors.iter().cloned());
    let is_open = imported.report.needs_a_person() || !errors.is_empty();
    match &args.out {
        None => {
            for (index, file) in imported.files.iter().enumerate() {
                output::text(format_args!("{}{}", if index > 0 { "---\n" } else { "" }, file.text));
            }
        }
        Some(folder) => {
            if let Err(error) = write(folder, &imported) {
                output::error(format_args!("pollinator: {error}"));
                return ExitCode::FAILURE;
            }
        }
    }
    output::error(imported.report.to_string().trim_end());
    if args.out.is_none() && imported.files.iter().any(|file| file.name.ends_with(".secret.yaml")) {
        output::error("Secrets are printed with placeholders; --out writes their values into files of their own");
    }
    errors.iter().for_each(output::error);
    output::finish(if is_open { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than 64 MiB; export fewer instances at once".to_owned());
    }
    encoding::decode(&bytes).map(std::borrow::Cow::into_owned)
}

/// Writes all files, or none of them when one is there already.
fn write(folder: &Path, imported: &Imported) -> Result<(), String> {
    let at = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    let report = Written { name: REPORT.to_owned(), is_secret: false, text: imported.report.to_string() };
    let files: Vec<_> = imported.files.iter().chain([&report]).map(|file| (folder.join(&file.name), file)).collect();
    let there: Vec<_> = files.iter().filter(|(path, _)| path.symlink_metadata().is_ok()).collect();
    if let Some((path, _)) = there.first() {
        return Err(format!(
            "{} is there already, and {} of {} files would be replaced; name an empty folder, or move what is in this one",
            path.display(),
            there.len(),
            files.len()
        ));
    }
    for (path, file) in files {
        let mode = if file.is_secret { 0o600 } else { 0o644 };
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        opened.and_then(|mut opened| opened.write_all(file.text.as_bytes())).map_err(|error| at(&path, &error))?;
    }
    Ok(())
}

/// A name of a namespace (RFC 1123 label).
fn parse_namespace(text: &str) -> Result<String, String> {
    names::is_label(text).then(|| text.to_owned()).ok_or_else(|| "must consist of lower case letters, digits and -".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn written(name: &str, is_secret: bool) -> Written {
        Written { name: name.to_owned(), is_secret, text: "a: b\n".to_owned() }
    }

    #[test]
    fn secrets_are_for_their_owner_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let imported =
            Imported { files: vec![written("a.yaml", false), written("a.secret.yaml", true)], ..Imported::default() };
        write(&out, &imported).unwrap();
        let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("a.secret.yaml"), 0o600);
        assert!(out.join(REPORT).exists());
        fs::remove_file(out.join("a.yaml")).unwrap();
        let refusal = write(&out, &imported).unwrap_err();
        assert!(refusal.contains("a.secret.yaml is there already, and 2 of 3 files would be replaced"), "{refusal}");
        assert!(!out.join("a.yaml").exists(), "all or nothing");
    }

    #[test]
    fn a_namespace_is_a_label() {
        assert_eq!(parse_namespace("crm"), Ok("crm".to_owned()));
        for wrong in ["", "CRM", "-a", "a.b"] {
            assert!(parse_namespace(wrong).is_err(), "{wrong}");
        }
    }
}
