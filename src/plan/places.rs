//! Where a request has texts with macros: all of them are visited here and nowhere else. Pure.

use super::template::Template;
use super::{BodyPlan, RequestPlan};

impl RequestPlan {
    /// Visits each text, with the field of the resource that it is in, in the order in which messages name the fields.
    pub(super) fn each_template<'a>(&'a self, mut visit: impl FnMut(&'static str, &'a Template)) {
        visit("url", &self.url);
        self.query.iter().for_each(|(_, value)| visit("query", value));
        self.headers.iter().for_each(|(_, value)| visit("headers", value));
        if let Some(body) = &self.body {
            body.each_template(&mut |text| visit("body", text));
        }
    }

    /// The first field with a text of which this is true.
    pub(super) fn field_with(&self, is_it: impl Fn(&Template) -> bool) -> Option<&'static str> {
        let mut found = None;
        self.each_template(|field, text| found = found.or(is_it(text).then_some(field)));
        found
    }
}

impl BodyPlan {
    fn each_template<'a>(&'a self, visit: &mut dyn FnMut(&'a Template)) {
        match self {
            Self::Literal(_) => {}
            Self::Text(text) => visit(text),
            Self::List(items) => items.iter().for_each(|item| item.each_template(visit)),
            Self::Map(members) => members.iter().for_each(|(_, value)| value.each_template(visit)),
        }
    }
}
