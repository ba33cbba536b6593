//! `pollinator new KEY`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::catalog::{entry, find, show};
use crate::catalog::starter::{self, Wishes};

/// Prints a first manifest for an entry of the catalog: a ConnectorInstance and its Secrets, with placeholders and comments.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Key of the entry, as in `pollinator catalog list`.
    key: String,
    /// Resources to poll [default: all of the entry].
    resources: Vec<String>,
    /// Name of the instance; the names of its Secrets begin with it [default: the key].
    #[arg(long)]
    name: Option<String>,
    /// Namespace of the objects [default: none is written].
    #[arg(long)]
    namespace: Option<String>,
    /// Where events are sent.
    #[arg(long, value_name = "URL", default_value = "https://example.com/events")]
    callback: String,
    /// Value of a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

/// 1 when the output cannot be written, 2 when there is no such entry, resource or parameter.
pub fn run(args: &NewArgs) -> ExitCode {
    show(manifest(args))
}

fn manifest(args: &NewArgs) -> Result<String, String> {
    let key = args.key.as_str();
    let spec = entry(key)?;
    let polled = match &*args.resources {
        [] => spec.resources.iter().map(|resource| &resource.resource).collect(),
        named => named.iter().map(|name| Ok(&find(key, spec, name)?.resource)).collect::<Result<Vec<_>, String>>()?,
    };
    let parameters: BTreeMap<_, _> = args.settings.iter().cloned().collect();
    if let Some(unknown) = parameters.keys().find(|name| !spec.parameters.iter().any(|known| known.name == **name)) {
        let known: Vec<_> = spec.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        return Err(format!("the entry {key} has no parameter {unknown}; it has: {}", known.join(", ")));
    }
    let wishes = Wishes {
        name: args.name.as_deref().unwrap_or(key),
        namespace: args.namespace.as_deref(),
        callback: &args.callback,
        parameters: &parameters,
    };
    Ok(starter::manifest(key, spec, &polled, &wishes))
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, such as owner=acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, resources: &[&str], settings: &[(&str, &str)]) -> Result<String, String> {
        manifest(&NewArgs {
            key: key.to_owned(),
            resources: resources.iter().map(|name| (*name).to_owned()).collect(),
            name: None,
            namespace: None,
            callback: "https://h.example/in".to_owned(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        })
    }

    #[test]
    fn what_the_entry_does_not_have_is_refused() {
        let text = with("github", &["issues"], &[("owner", "acme")]).unwrap();
        assert!(text.contains("connector: github") && text.contains("owner: acme"), "{text}");
        assert!(with("github", &["issue"], &[]).unwrap_err().contains("no resource issue; it has issues"));
        assert!(with("github", &[], &[("ower", "acme")]).unwrap_err().contains("no parameter ower; it has: owner"));
        assert!(with("gitlab", &[], &[]).unwrap_err().starts_with("the catalog has no entry gitlab"));
        assert!(
            parse_setting("a=b=c").is_ok_and(|(name, value)| (&*name, &*value) == ("a", "b=c")) && parse_setting("a").is_err()
        );
    }
}
