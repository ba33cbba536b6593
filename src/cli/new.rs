//! `pollinator new KEY`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;

use super::catalog::show;
use super::own_catalog::{CatalogFolder, OwnCatalog, find};
use crate::api::connector::ConnectorSpec;
use crate::api::manifest::{self, Manifest};
use crate::api::resource::Resource;
use crate::catalog::starter::{self, Wishes};
use crate::observe::output;
use crate::plan::resolve::resolve;

/// Where events go when nothing is said.
const CALLBACK: &str = "https://example.com/events";

/// Prints a first manifest for an entry of the catalog: a ConnectorInstance and its Secrets, with placeholders and comments.
#[derive(Clone, Debug, Args)]
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
    #[arg(long, value_name = "URL", default_value = CALLBACK)]
    callback: String,
    /// Value of a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    catalog: CatalogFolder,
}

/// 1 when the output cannot be written, 2 when there is no such entry, resource or parameter, or an argument makes the manifest invalid.
///
/// On a terminal a person is asked for what the arguments leave out.
pub fn run(args: &NewArgs) -> ExitCode {
    let own = match args.catalog.read() {
        Ok(own) => own,
        Err(errors) => return show(Err(errors)),
    };
    if !(io::stdin().is_terminal() && output::is_terminal()) {
        return show(first(args, &own));
    }
    let mut lines = io::stdin().lines();
    let completed = completed(args, &own, |question| {
        output::error(question);
        lines.next()?.ok()
    });
    show(first(&completed, &own))
}

/// The arguments with what a person answers: the parameters that the resources need and no default has, and where events are sent. An empty
/// answer leaves the placeholder. `ask`: yields the answer to a question; none: no one answers any more.
fn completed(args: &NewArgs, own: &OwnCatalog, mut ask: impl FnMut(&str) -> Option<String>) -> NewArgs {
    let mut completed = args.clone();
    // What is wrong with the arguments is said afterwards.
    let Ok((spec, polled)) = chosen(args, own) else { return completed };
    let polled: Vec<_> = polled.into_iter().cloned().collect();
    let is_given = |name: &str| args.settings.iter().any(|(given, _)| given == name);
    for parameter in &*spec.parameters_for(&polled, |_| false) {
        if parameter.default_value.is_some() || is_given(&parameter.name) {
            continue;
        }
        let described = parameter.description.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
        let choices =
            if parameter.one_of.is_empty() { String::new() } else { format!(" One of {}.", parameter.one_of.join(", ")) };
        let question =
            format!("Parameter {}:{described}{choices} Enter its value, or nothing to fill it in later.", parameter.name);
        match ask(&question).map(|answer| answer.trim().to_owned()) {
            Some(answer) if !answer.is_empty() => completed.settings.push((parameter.name.clone(), answer)),
            Some(_) => {}
            None => return completed,
        }
    }
    if args.callback == CALLBACK
        && let Some(answer) = ask("Callback: enter the URL where events are sent, or nothing to fill it in later.")
        && !answer.trim().is_empty()
    {
        answer.trim().clone_into(&mut completed.callback);
    }
    completed
}

/// The entry, and its resources that are polled.
fn chosen<'a>(args: &NewArgs, own: &'a OwnCatalog) -> Result<(&'a ConnectorSpec, Vec<&'a Resource>), String> {
    let key = args.key.as_str();
    let spec = own.entry(key)?;
    let polled = match &*args.resources {
        [] => spec.resources.iter().map(|resource| &resource.resource).collect(),
        named => named.iter().map(|name| Ok(&find(key, spec, name)?.resource)).collect::<Result<Vec<_>, String>>()?,
    };
    Ok((spec, polled))
}

fn first(args: &NewArgs, own: &OwnCatalog) -> Result<String, String> {
    let key = args.key.as_str();
    let (spec, polled) = chosen(args, own)?;
    let parameters: BTreeMap<_, _> = args.settings.iter().cloned().collect();
    if let Some(unknown) = parameters.keys().find(|name| !spec.parameters.iter().any(|known| known.name == **name)) {
        let known: Vec<_> = spec.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        return Err(format!("the entry {key} has no parameter {unknown}; it has: {}", known.join(", ")));
    }
    if let Some(twice) =
        args.resources.iter().enumerate().find_map(|(at, name)| args.resources[..at].contains(name).then_some(name))
    {
        return Err(format!("the resource {twice} is named twice; name it once"));
    }
    let wishes = Wishes {
        name: args.name.as_deref().unwrap_or(key),
        namespace: args.namespace.as_deref(),
        callback: &args.callback,
        parameters: &parameters,
    };
    let written = starter::manifest(key, spec, &polled, &wishes);
    let nothing = BTreeMap::new();
    let plain = Wishes { name: key, namespace: None, callback: CALLBACK, parameters: &nothing };
    // What a person must replace may be no valid value: only what the arguments bring about is their fault.
    let before = problems(spec, &starter::manifest(key, spec, &polled, &plain));
    let new: Vec<_> = problems(spec, &written).into_iter().filter(|problem| !before.contains(problem)).collect();
    if new.is_empty() { Ok(written) } else { Err(new.join("\n")) }
}

/// What keeps a manifest from being accepted and planned.
fn problems(spec: &ConnectorSpec, text: &str) -> Vec<String> {
    let read = manifest::read("", text);
    let mut problems: Vec<String> = read.errors.iter().map(|error| error.finding.to_string()).collect();
    for (_, manifest) in read.manifests {
        if let Manifest::ConnectorInstance(instance) = manifest {
            let found = resolve(&instance, Some(spec)).err().unwrap_or_default();
            problems.extend(found.into_iter().map(|problem| problem.message));
        }
    }
    problems
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, such as owner=acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, resources: &[&str], settings: &[(&str, &str)]) -> Result<String, String> {
        let args = NewArgs {
            key: key.to_owned(),
            resources: resources.iter().map(|name| (*name).to_owned()).collect(),
            name: None,
            namespace: None,
            callback: "https://h.example/in".to_owned(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            catalog: CatalogFolder::default(),
        };
        first(&args, &OwnCatalog::default())
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

    #[test]
    fn arguments_that_make_it_invalid_are_refused() {
        let base = || NewArgs {
            key: "zendesk".to_owned(),
            resources: Vec::new(),
            name: None,
            namespace: None,
            callback: CALLBACK.to_owned(),
            settings: Vec::new(),
            catalog: CatalogFolder::default(),
        };
        let text = |text: &str| text.to_owned();
        let set = |value: &str| NewArgs { settings: vec![(text("subdomain"), text(value))], ..base() };
        for (args, part) in [
            (NewArgs { callback: text("foo"), ..base() }, "spec.callback.url"),
            (NewArgs { callback: text("http://a.example/x"), ..base() }, "allowInsecureHttp"),
            (NewArgs { name: Some(text("A B")), ..base() }, "metadata.name"),
            (NewArgs { namespace: Some(text("Bad NS")), ..base() }, "metadata.namespace"),
            (NewArgs { resources: vec![text("tickets"), text("tickets")], ..base() }, "named twice"),
            (set("https://acme.zendesk.com"), "spec.parameters.subdomain"),
            (set(""), "spec.parameters.subdomain"),
        ] {
            let refused = first(&args, &OwnCatalog::default()).unwrap_err();
            assert!(refused.contains(part), "{args:?}: {refused}");
        }
        let own = OwnCatalog::default();
        assert!(first(&base(), &own).is_ok() && first(&set("acme"), &own).is_ok());
    }

    #[test]
    fn a_person_is_asked_for_what_is_missing() {
        let args = |key: &str, settings: &[(&str, &str)], callback: &str| NewArgs {
            key: key.to_owned(),
            resources: Vec::new(),
            name: None,
            namespace: None,
            callback: callback.to_owned(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            catalog: CatalogFolder::default(),
        };
        let answered = |of: &NewArgs, answers: &[&str]| {
            let (mut asked, mut answers) = (Vec::new(), answers.iter());
            let own = OwnCatalog::default();
            let completed = completed(of, &own, |question| {
                asked.push(question.split(':').next().unwrap_or_default().to_owned());
                answers.next().map(|answer| (*answer).to_owned())
            });
            (asked.join(", "), first(&completed, &own).unwrap())
        };
        let (asked, text) = answered(&args("asana", &[], CALLBACK), &["4711 ", "", "https://h.example/in"]);
        assert_eq!(asked, "Parameter project, Parameter workspace, Callback");
        assert!(text.contains("project: \"4711\"") && text.contains("workspace: replace-me"), "{text}");
        assert!(text.contains("url: \"https://h.example/in\""), "{text}");
        let (asked, _) = answered(&args("asana", &[("workspace", "1")], "https://h.example/in"), &[]);
        assert_eq!(asked, "Parameter project", "the end of the input ends the questions");
        assert_eq!(answered(&args("datadog", &[], "https://h.example/in"), &[]).0, "", "a default is not asked for");
        assert_eq!(completed(&args("nothing", &[], CALLBACK), &OwnCatalog::default(), |_| panic!("no question")).settings, []);
    }

    #[test]
    fn every_entry_has_a_manifest() {
        for key in crate::catalog::names() {
            assert!(with(key, &[], &[]).is_ok(), "{key}");
        }
    }
}
