//! What a provider published of an API, as far as a test of an entry asks for it: operations, parameters and fields of answers.
//!
//! `OpenAPI` 3, Swagger 2 and Google's discovery documents say the same things in different places; the differences end here. The
//! descriptions are trimmed: what was cut off is [`Found::Cut`], about which nothing can be said.

use serde_json::{Map, Value};

/// Whether a description has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Yes,
    No,
    /// It is in a part that was cut off.
    Cut,
}

/// One published description.
pub(super) struct Description {
    pub(super) root: Value,
}

/// One operation of a description.
pub(super) struct Operation<'a> {
    pub(super) description: &'a Description,
    /// The operation and what its path has in common for all.
    pub(super) parts: Vec<&'a Value>,
    /// Its parameters are an object, by name.
    discovery: bool,
}

/// Schemas within which references lead to a name; nothing goes deeper than descriptions do.
const DEEPEST: usize = 24;

impl Description {
    pub(super) fn read(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        let mut root: Value = serde_json::from_str(text)?;
        // several documents of one provider
        Ok(match root.get_mut("documents").map(Value::take) {
            Some(Value::Array(documents)) => documents.into_iter().map(|root| Self { root }).collect(),
            Some(Value::Object(documents)) => documents.into_iter().map(|(_, root)| Self { root }).collect(),
            _ => vec![Self { root }],
        })
    }

    fn is_discovery(&self) -> bool {
        self.root.get("discoveryVersion").is_some()
    }

    /// The operation with this method and address. A placeholder in either counts as any one segment.
    pub(super) fn operation(&self, method: &str, url: &str) -> Option<Operation<'_>> {
        if self.is_discovery() {
            let base = self.root["baseUrl"].as_str()?;
            let mut methods = Vec::new();
            collect_methods(&self.root["resources"], &mut methods);
            let of = methods.into_iter().find(|one| {
                let path = one.get("flatPath").or_else(|| one.get("path")).and_then(Value::as_str).unwrap_or_default();
                one["httpMethod"] == method && same_address(&format!("{base}{path}"), url)
            })?;
            return Some(Operation { description: self, parts: vec![of], discovery: true });
        }
        for (path, item) in self.root["paths"].as_object()? {
            let Some(of) = item.get(method.to_lowercase()) else { continue };
            let servers = self.servers(of, item);
            if servers.iter().any(|server| same_address(&format!("{}{path}", server.trim_end_matches('/')), url)) {
                return Some(Operation { description: self, parts: vec![of, item], discovery: false });
            }
        }
        None
    }

    fn servers(&self, operation: &Value, item: &Value) -> Vec<String> {
        if let Some(host) = self.root["host"].as_str() {
            return vec![format!("https://{host}{}", self.root["basePath"].as_str().unwrap_or_default())];
        }
        let nearest = [operation, item, &self.root].into_iter().find_map(|place| place["servers"].as_array());
        let urls = nearest.into_iter().flatten().filter_map(|server| server["url"].as_str());
        urls.map(str::to_owned).collect()
    }

    /// What a reference leads to.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        match reference.strip_prefix('#') {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(&Value::Null),
            None => &self.root["schemas"][reference],
        }
    }

    /// The schemas that together describe one value.
    fn variants<'a>(&'a self, schema: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        if depth == DEEPEST {
            return;
        }
        found.push(schema);
        for union in ["allOf", "oneOf", "anyOf"] {
            for part in schema[union].as_array().into_iter().flatten() {
                self.variants(part, depth + 1, found);
            }
        }
    }

    /// Whether values of a schema have a member at the end of this path; the last schemas on the way.
    pub(super) fn member<'a>(&'a self, schema: &'a Value, path: &[&str]) -> (Found, Vec<&'a Value>) {
        let mut here = Vec::new();
        self.variants(schema, 0, &mut here);
        let mut cut = false;
        for step in path {
            let mut next = Vec::new();
            for schema in &here {
                cut |= schema.get("x-trimmed-ref").is_some();
                if let Some(member) = schema["properties"].get(*step) {
                    self.variants(member, 0, &mut next);
                } else if schema["additionalProperties"].is_object() {
                    self.variants(&schema["additionalProperties"], 0, &mut next);
                }
            }
            if next.is_empty() {
                return (if cut { Found::Cut } else { Found::No }, Vec::new());
            }
            here = next;
        }
        (Found::Yes, here)
    }
}

impl<'a> Operation<'a> {
    pub(super) fn parameters(&self) -> Vec<(String, &'a Value)> {
        let own = self.parts.iter().map(|part| &part["parameters"]);
        if self.discovery {
            let all = own.chain([&self.description.root["parameters"]]).filter_map(Value::as_object);
            return all.flatten().map(|(name, parameter)| (name.clone(), parameter)).collect();
        }
        let all = own.filter_map(Value::as_array).flatten().map(|parameter| self.description.resolve(parameter));
        all.map(|parameter| (parameter["name"].as_str().unwrap_or_default().to_owned(), parameter)).collect()
    }

    /// The parameter of this name in query or header. One that is an object is written `name[member]`.
    pub(super) fn parameter(&self, name: &str, place: &str) -> Option<&'a Value> {
        let is_here = |parameter: &Value| {
            let at = parameter.get("in").or_else(|| parameter.get("location")).and_then(Value::as_str);
            at.is_none_or(|at| at == place)
        };
        let matches = |declared: &str| match place {
            "header" => declared.eq_ignore_ascii_case(name),
            _ => declared == name || declared == format!("{name}[]"),
        };
        let parameters = self.parameters();
        let found = parameters.iter().find(|(declared, parameter)| matches(declared) && is_here(parameter));
        if let Some((_, parameter)) = found {
            return Some(parameter);
        }
        let (outer, member) = name.strip_suffix(']')?.split_once('[')?;
        let (_, parameter) = parameters.into_iter().find(|(declared, parameter)| declared == outer && is_here(parameter))?;
        let mut schemas = Vec::new();
        self.description.variants(&parameter["schema"], 0, &mut schemas);
        schemas.iter().any(|schema| schema["properties"].get(member).is_some()).then_some(parameter)
    }

    /// The parameters that every request must have: name and place, those of the path left out.
    pub(super) fn required(&self) -> Vec<(String, String)> {
        let place =
            |of: &Value| of.get("in").or_else(|| of.get("location")).and_then(Value::as_str).unwrap_or_default().to_owned();
        let all = self.parameters().into_iter().filter(|(_, of)| of["required"] == true).map(|(name, of)| (name, place(of)));
        all.filter(|(_, place)| place == "query" || place == "header").collect()
    }

    /// The greatest value that a parameter of the query may have.
    pub(super) fn maximum(&self, name: &str) -> Option<i64> {
        let parameter = self.parameter(name, "query")?;
        let of = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        of(&parameter["maximum"]).or_else(|| of(&self.description.resolve(&parameter["schema"])["maximum"]))
    }

    /// Whether the JSON that a request carries has this member.
    pub(super) fn body(&self, path: &[&str]) -> Found {
        let body = self.description.resolve(&self.parts[0]["requestBody"]);
        json_schema(&body["content"]).map_or(Found::No, |schema| self.description.member(schema, path).0)
    }

    pub(super) fn answer(&self) -> Option<&'a Value> {
        if self.discovery {
            return Some(&self.parts[0]["response"]);
        }
        let responses = self.parts[0]["responses"].as_object()?;
        let good = ["200", "2XX", "default"].into_iter().find_map(|status| responses.get(status))?;
        let response = self.description.resolve(good);
        response.get("schema").or_else(|| json_schema(&response["content"]))
    }

    /// Whether an answer has a member at this path.
    pub(super) fn envelope(&self, path: &[&str]) -> Found {
        self.answer().map_or(Found::No, |schema| self.description.member(schema, path).0)
    }

    /// Whether the records at this path (none: the answer itself, or its only array) have a member at that path.
    pub(super) fn field(&self, records: &Records<'_>, path: &[&str]) -> Found {
        let Some(answer) = self.answer() else { return Found::No };
        let description = self.description;
        let (found, lists) = match records {
            Records::Root => description.member(answer, &[]),
            Records::At(at) => description.member(answer, at),
        };
        if found != Found::Yes {
            return found;
        }
        let of_list = |list: &&'a Value| {
            let items = [&list["items"], &list["additionalProperties"]];
            items.into_iter().find(|items| items.is_object())
        };
        let founds: Vec<_> = lists.iter().filter_map(of_list).map(|items| description.member(items, path).0).collect();
        if founds.contains(&Found::Yes) {
            Found::Yes
        } else if founds.contains(&Found::Cut) || lists.iter().any(|list| list.get("x-trimmed-ref").is_some()) {
            Found::Cut
        } else {
            Found::No
        }
    }
}

/// Where the records of an answer are.
pub(super) enum Records<'a> {
    /// The answer is the list.
    Root,
    /// At the end of a path.
    At(Vec<&'a str>),
}

pub(super) fn json_schema(content: &Value) -> Option<&Value> {
    let types: &Map<_, _> = content.as_object()?;
    types.iter().find(|(name, _)| name.contains("json")).or_else(|| types.iter().next()).map(|(_, of)| &of["schema"])
}

fn collect_methods<'a>(resources: &'a Value, found: &mut Vec<&'a Value>) {
    for resource in resources.as_object().into_iter().flat_map(Map::values) {
        found.extend(resource["methods"].as_object().into_iter().flat_map(Map::values));
        collect_methods(&resource["resources"], found);
    }
}

/// Whether two addresses mean the same, host and path; `{placeholder}` means any text within a segment.
fn same_address(published: &str, ours: &str) -> bool {
    let placeholder = regex::Regex::new(r"\{[^}]*\}").unwrap();
    // a port is the one of the scheme, which is https everywhere
    let published =
        published.replace("://{site}.{environment}:{port}", "://{site}.{environment}").replace("{protocol}", "https");
    let (published, ours) = (published.trim_end_matches('/'), ours.trim_end_matches('/'));
    let mut pattern = String::from("^");
    let mut last = 0;
    for part in placeholder.find_iter(published) {
        pattern += &regex::escape(&published[last..part.start()]);
        pattern += "[^/]+";
        last = part.end();
    }
    pattern += &regex::escape(&published[last..]);
    pattern += "$";
    regex::Regex::new(&pattern).unwrap().is_match(ours)
}
