//! What is wrong with what was entered: each with the field of the form that it is about, and in the words of the form. Pure.

use super::form::{Field, FormView, ListGroup};
use crate::api::conditions::Problem;
use crate::api::finding::Finding;
use crate::api::instance::ConnectorInstance;
use crate::api::visible::one_line;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Name of the field; empty: it is about no field of the form.
    pub field: String,
    /// Label of the field.
    pub label: String,
    /// What is wrong, or what to enter.
    pub text: String,
}

impl Mistake {
    /// About no field in particular.
    pub fn of_all(text: &str) -> Self {
        Self { field: String::new(), label: String::new(), text: one_line(text).into_owned() }
    }
}

/// What validation found, and what keeps the instance from being planned, as sentences that begin with the field of the manifest.
pub fn sentence(problem: &Problem) -> Finding {
    let (path, message) = problem.message.split_once(' ').unwrap_or_default();
    let path = path.trim_end_matches(':');
    if path.starts_with("spec.") || path.starts_with("metadata.") {
        Finding { path: path.to_owned(), message: message.to_owned() }
    } else {
        Finding { path: String::new(), message: problem.message.clone() }
    }
}

impl FormView {
    /// Fields that must have a value and have none.
    pub fn missing(&self) -> Vec<Mistake> {
        let own = self.texts().filter(|field| (field.is_required || field.is_needed) && field.value.is_empty());
        // A list that is added is one as soon as anything is entered for it.
        let added = self.lists.iter().filter(|list| list.fields.iter().any(|field| !field.value.is_empty()));
        let added =
            added.flat_map(|list| &list.fields).filter(|field| NEEDED.contains(&&*field.name) && field.value.is_empty());
        own.chain(added).map(|field| mistake(field, "Enter a value.".to_owned())).collect()
    }

    /// What was found in the instance that the form makes, each where its field is. What is only missing is said once.
    pub fn mistakes(&self, instance: &ConnectorInstance, found: Vec<Finding>) -> Vec<Mistake> {
        let missing = self.missing();
        let mut mistakes = missing.clone();
        for Finding { path, message } in found {
            let field = self.field_of(&path, instance);
            if field.is_some_and(|field| field.value.is_empty() && missing.iter().any(|known| known.field == field.name)) {
                continue;
            }
            // What is found in the instance as a whole follows from what is missing.
            if field.is_none() && !missing.is_empty() {
                continue;
            }
            let text = self.in_words(&message, field, instance);
            let new = match field {
                Some(field) => mistake(field, text),
                None if path.is_empty() || path == "spec" => Mistake::of_all(&text),
                // A field of the manifest that no form has.
                None => Mistake::of_all(&format!("{path}: {text}")),
            };
            if !mistakes.contains(&new) {
                mistakes.push(new);
            }
        }
        mistakes
    }

    /// A credential that must be entered.
    pub fn missing_credential(&self, key: &str, what: &str) -> Mistake {
        let name = format!("credential.{key}");
        let label = self.credentials.iter().find(|field| field.name == name).map(|field| field.label.clone());
        Mistake { field: name, label: label.unwrap_or_else(|| key.to_owned()), text: format!("Enter {what}.") }
    }

    /// About the name of the instance.
    pub fn wrong_name(&self, text: &str) -> Mistake {
        mistake(&self.name, one_line(text).into_owned())
    }

    /// Says next to each field what is wrong with it.
    pub fn mark(&mut self, mistakes: &[Mistake]) {
        let of = |name: &str| {
            mistakes.iter().filter(|own| own.field == name).map(|own| own.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let lists = self.lists.iter_mut().flat_map(|list| &mut list.fields);
        let texts = self.base_url.iter_mut().chain(&mut self.parameters).chain(&mut self.header).chain(lists);
        for field in texts.chain([&mut self.name, &mut self.namespace, &mut self.interval, &mut self.callback]) {
            field.problem = of(&field.name);
        }
        for field in self.credentials.iter_mut().chain([&mut self.signing_key]) {
            field.problem = of(&field.name);
        }
    }

    /// All fields with text that are shown.
    fn texts(&self) -> impl Iterator<Item = &Field> {
        let own = self.is_new.then_some([&self.name, &self.namespace]).into_iter().flatten();
        let lists = self.lists.iter().filter(|list| list.removal.as_ref().is_none_or(|removal| !removal.is_chosen));
        let lists = lists.flat_map(|list| &list.fields);
        own.chain(&self.base_url)
            .chain(&self.parameters)
            .chain(&self.header)
            .chain(lists)
            .chain([&self.interval, &self.callback])
    }

    /// The field of the form for one of the manifest.
    fn field_of(&self, path: &str, instance: &ConnectorInstance) -> Option<&Field> {
        let path = path.strip_prefix("spec.").unwrap_or(path);
        if let Some(of_resource) = path.strip_prefix("resources[") {
            return self.field_of_resource(of_resource, instance);
        }
        let name = match path {
            "metadata.name" => "name".to_owned(),
            "metadata.namespace" => "namespace".to_owned(),
            "polling.interval" => "interval".to_owned(),
            "callback.url" => "callback".to_owned(),
            "auth.apiKey.name" => "header".to_owned(),
            other => other.strip_prefix("parameters.").map_or_else(|| other.to_owned(), |own| format!("parameter.{own}")),
        };
        self.texts().find(|field| field.name == name)
    }

    /// The field for one of a resource, such as `0].url` or `orders].url`: the lists of the form are in the order of the manifest.
    fn field_of_resource(&self, path: &str, instance: &ConnectorInstance) -> Option<&Field> {
        let (which, field) = path.split_once(']')?;
        let named = || instance.spec.resources.iter().position(|own| own.name == which);
        let index = which.parse::<usize>().ok().or_else(named)?;
        let field = field.trim_start_matches('.');
        let field = field.strip_prefix("datesConfiguration.").unwrap_or(field);
        let field = match field {
            // Two of one name.
            "" => "name",
            ids if ids.starts_with("idFields") => "idField",
            field => field,
        };
        let is_there = |list: &&ListGroup| match &list.removal {
            Some(removal) => !removal.is_chosen,
            None => list.title.is_empty() || list.fields.iter().any(|field| !field.value.is_empty()),
        };
        let list = self.lists.iter().filter(is_there).nth(index)?;
        let is_meant = |own: &&Field| match own.name.rsplit_once('.') {
            Some((_, end)) => end == field,
            None => own.name == if field == "name" { "resource" } else { field },
        };
        list.fields.iter().find(is_meant)
    }

    /// A message of the manifest as one of the form.
    fn in_words(&self, message: &str, field: Option<&Field>, instance: &ConnectorInstance) -> String {
        let hint = field.map_or("", |field| field.hint.as_str());
        if message == "Required value" || message.starts_with("should be at least 1 ") {
            return "Enter a value.".to_owned();
        }
        if message.starts_with("should match '") {
            return format!("This value cannot be used. {}", if hint.is_empty() { "Enter another one." } else { hint });
        }
        let words = message.split(' ').map(|word| {
            let path = word.trim_end_matches([':', ',', ';', '.']);
            let named = path.starts_with("spec.").then(|| self.field_of(path, instance)).flatten();
            named.map_or_else(|| word.to_owned(), |own| format!("“{}”{}", own.label, &word[path.len()..]))
        });
        let text = words.collect::<Vec<_>>().join(" ");
        let mut text = one_line(&text).into_owned();
        if let Some(first) = text.get(..1).map(str::to_uppercase) {
            text.replace_range(..1, &first);
        }
        if text.ends_with(['.', '!', '?']) { text } else { text + "." }
    }
}

/// Fields of a list that is added, which must have values.
const NEEDED: [&str; 2] = ["add.name", "add.url"];

fn mistake(field: &Field, text: String) -> Mistake {
    Mistake { field: field.name.clone(), label: field.label.clone(), text }
}

#[cfg(test)]
mod tests {
    use crate::serve::console::create::problems;
    use crate::serve::console::draft::{Fields, Origin, draft};
    use crate::serve::console::form::form;

    /// What a form with these entries is answered: field and text of each mistake.
    fn answered(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let fields = Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let mut view = form(Origin::Plain, "default", Some(&fields), |_| false);
        let (instance, _) = draft(Origin::Plain, "default", &fields, |_| None).unwrap();
        let mistakes = view.mistakes(&instance, problems(&instance, None));
        view.mark(&mistakes);
        for own in mistakes.iter().filter(|own| !own.field.is_empty()) {
            assert!(view.texts().any(|field| field.name == own.field && field.problem.contains(&own.text)), "{own:?}");
        }
        mistakes.into_iter().map(|own| (own.field, own.text)).collect()
    }

    const GOOD: [(&str, &str); 7] = [
        ("name", "shop"),
        ("namespace", "default"),
        ("baseUrl", "https://api.example.com/v1"),
        ("resource", "orders"),
        ("url", "/orders"),
        ("interval", "15m"),
        ("callback", "https://h.example/in"),
    ];

    #[test]
    fn an_empty_form_asks_for_what_is_missing_field_by_field() {
        let mistakes = answered(&[("namespace", "default")]);
        let fields: Vec<_> = mistakes.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["name", "baseUrl", "resource", "url", "interval", "callback"]);
        assert!(mistakes.iter().all(|(_, text)| text == "Enter a value."), "{mistakes:?}");
    }

    #[test]
    fn each_mistake_is_at_its_field_in_the_words_of_the_form() {
        assert_eq!(answered(&GOOD), []);
        for (field, entry) in [
            ("name", "Not A Name"),
            ("baseUrl", "ftp://x"),
            ("resource", "a b"),
            ("interval", "soon"),
            ("interval", "1s"),
            ("callback", "nowhere"),
            ("updatedDateFormat", "qqq"),
            ("recordsPath", "a["),
        ] {
            let mut pairs: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != field).chain([(field, entry)]).collect();
            if field == "updatedDateFormat" {
                pairs.push(("updatedDateField", "updated_at"));
            }
            let mistakes = answered(&pairs);
            assert!(!mistakes.is_empty() && mistakes.iter().all(|(at, _)| at == field), "{field} {entry}: {mistakes:?}");
            for (_, text) in mistakes {
                assert!(
                    !["spec.", "chars long", "should match", "^["].iter().any(|never| text.contains(never)),
                    "{field}: {text}"
                );
            }
        }
    }

    /// All that is missing is said at once, with the parameters that the chosen resources need.
    #[test]
    fn parameters_that_are_needed_are_asked_for_with_everything_else() {
        let missing = |key: &str, pairs: &[(&str, &str)]| -> Vec<String> {
            let spec = crate::catalog::built_in(key).unwrap();
            let origin = Origin::Connector(key, spec);
            let fields = Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
            let view = form(origin, "default", Some(&fields), |_| false);
            let (instance, _) = draft(origin, "default", &fields, |_| None).unwrap();
            let mistakes = view.mistakes(&instance, problems(&instance, Some(spec)));
            mistakes.into_iter().map(|own| own.field).collect()
        };
        let (name, namespace, interval) = (("name", "a"), ("namespace", "default"), ("interval", "15m"));
        assert_eq!(missing("xero", &[name, namespace, interval]), ["parameter.tenantId", "callback"]);
        let asana = [name, namespace, interval, ("callback", "https://h.example/in")];
        assert_eq!(missing("asana", &[&asana[..], &[("resource", "users")]].concat()), ["parameter.workspace"]);
        assert_eq!(missing("asana", &asana), ["parameter.project", "parameter.workspace"], "all are polled");
        let blank = form(Origin::Connector("xero", crate::catalog::built_in("xero").unwrap()), "default", None, |_| false);
        assert!(blank.parameters[0].is_required && !blank.parameters[0].is_needed);
    }
}
