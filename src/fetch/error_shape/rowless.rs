//! Failure markers that count only where an answer has no rows: next to records the same members may be data. Pure.

use serde_json::value::RawValue;

use super::{CODE, FAILED, MESSAGE, is_bad_code, is_error_status, is_ok, text_of};
use crate::fetch::names::Words;
use crate::plan::json;

/// Names of codes that are rather results of a call than data.
pub(super) const RETURNED: &[&[&str]] = &[
    &["ret"],
    &["rc"],
    &["rtn"],
    &["retcode"],
    &["ret", "code"],
    &["return", "code"],
    &["result", "code"],
    &["response", "code"],
    &["status", "code"],
    &["code"],
    &["status"],
];
/// Names of what such a code means.
const MEANING: &[&[&str]] = &[
    &["retmsg"],
    &["ret", "msg"],
    &["return", "msg"],
    &["return", "message"],
    &["result", "msg"],
    &["result", "message"],
    &["result", "description"],
    &["response", "msg"],
    &["response", "message"],
    &["response", "description"],
    &["description"],
];
/// Names of what a server says of a call in words. Not among them: names that lists have, too, such as `description`.
pub(super) const SPOKEN: &[&[&str]] = &[
    &["message"],
    &["msg"],
    &["detail"],
    &["reason"],
    &["note"],
    &["notice"],
    &["information"],
    &["status", "message"],
    &["retmsg"],
    &["ret", "msg"],
    &["return", "msg"],
    &["return", "message"],
    &["result", "msg"],
    &["result", "message"],
    &["response", "msg"],
    &["response", "message"],
];
/// Parts of words with which servers say that a call failed.
const FAILURES: &[&str] = &[
    "error",
    "exception",
    "fail",
    "invalid",
    "not valid",
    "unauthor",
    "unauthenticat",
    "not authorized",
    "not authenticated",
    "not registered",
    "forbidden",
    "denied",
    "refused",
    "expired",
    "exceeded",
    "too many requests",
    "unavailable",
    "timeout",
    "timed out",
    "maintenance",
    "log in",
    "sign in",
];
/// With these there is none of it.
const NO_FAILURES: &[&str] =
    &["no error", "0 error", "zero error", "without error", "no exception", "no failure", "0 failed", "not fail"];
/// Whose request it was.
const KNOWN_CALLER: &[&[&str]] = &[
    &["authenticated"],
    &["is", "authenticated"],
    &["authorized"],
    &["is", "authorized"],
    &["logged", "in"],
    &["is", "logged", "in"],
];

/// Whether an answer without rows says that it failed. `is_list`: it has a list, which is empty.
pub(super) fn is_failure(object: &str, is_list: bool) -> bool {
    let (mut failed, mut refused, mut message) = (false, false, None);
    json::for_each_member(object, |key, value| {
        let words = Words::of(key);
        if words.is_one_of(MESSAGE) || words.is_one_of(MEANING) {
            message = message.take().or_else(|| text_of(value).filter(|text| !text.is_empty()));
        }
        failed |= says_failed(&words, value);
        failed |= words.is_one_of(SPOKEN) && text_of(value).is_some_and(|text| speaks_of_failure(&text));
        refused |= says_refused(&words, value, is_list);
    });
    // A refusal that says that there is nothing to list is an empty list.
    failed || (refused && message.is_some_and(|text| !is_ok(&text)))
}

/// What needs no message.
fn says_failed(words: &Words, value: &str) -> bool {
    let text = || text_of(value).unwrap_or_default().to_ascii_lowercase();
    match () {
        () if words.is(&["ack"]) => FAILED.contains(&text().as_str()),
        () if words.is(&["state"]) => text() == "error",
        () if words.is_one_of(&[&["success"], &["is", "success"], &["ok"]]) => matches!(text().as_str(), "n" | "no" | "f"),
        () if words.is_one_of(KNOWN_CALLER) => value == "false",
        () if words.is_one_of(&[&["login", "required"], &["maintenance"], &["maintenance", "mode"]]) => value == "true",
        () if words.is_one_of(&[&["err", "no"], &["errno"]]) => value.parse::<i64>().is_ok_and(|number| number != 0),
        () if words.is(&["messages"]) => has_error(value),
        () => value.starts_with('{') && speaks_of_the_call(words) && is_failed_call(value),
    }
}

/// What counts with a message that says why.
fn says_refused(words: &Words, value: &str, is_list: bool) -> bool {
    if words.is(&["status"]) && value == "false" {
        return true;
    }
    if !words.is_one_of(RETURNED) {
        return false;
    }
    let number = value.trim_matches('"').parse::<i64>();
    match number {
        // Next to a list, a small number may as well be one for success.
        Ok(number) if is_list => number < 0,
        Ok(1) => false,
        _ => is_bad_code(value) || is_error_name(value),
    }
}

/// A code such as `E001` or `ERR-12`.
fn is_error_name(value: &str) -> bool {
    let text = text_of(value).unwrap_or_default().to_ascii_lowercase();
    let rest = text.strip_prefix("err").or_else(|| text.strip_prefix('e')).unwrap_or_default().trim_start_matches(['-', '_']);
    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())
}

fn speaks_of_the_call(words: &Words) -> bool {
    words.is_one_of(&[
        &["header"],
        &["response", "header"],
        &["result", "header"],
        &["response", "status"],
        &["result", "status"],
        &["response"],
        &["meta"],
        &["metadata"],
        &["status"],
    ])
}

/// Whether `responseHeader: {status: 500}` and the like say that the call failed.
fn is_failed_call(object: &str) -> bool {
    let (mut failed, mut refused, mut is_spoken) = (false, false, false);
    json::for_each_member(object, |key, value| {
        let words = Words::of(key);
        failed |= words.is_one_of(CODE)
            && (is_error_status(value)
                || text_of(value).is_some_and(|text| FAILED.contains(&text.to_ascii_lowercase().as_str())));
        refused |= words.is_one_of(RETURNED) && is_bad_code(value);
        is_spoken |= words.is_one_of(SPOKEN) && text_of(value).is_some_and(|text| speaks_of_failure(&text));
    });
    failed || (refused && is_spoken)
}

/// Whether a text says that a call failed, in whatever words.
fn speaks_of_failure(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    has(FAILURES) && !has(NO_FAILURES) && !is_ok(text)
}

/// Whether a list of messages has an error: by its code or severity, unless it says that there is nothing to list.
fn has_error(messages: &str) -> bool {
    let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(messages) else { return false };
    messages.into_iter().any(|message| {
        let (mut failed, mut is_fine) = (false, false);
        json::for_each_member(message.get(), |key, value| {
            let words = Words::of(key);
            if words.is_one_of(MESSAGE) || words.is(&["text"]) {
                is_fine |= text_of(value).is_some_and(|text| is_ok(&text));
            }
            let is_severity = words.is_one_of(&[&["type"], &["severity"], &["level"]]);
            failed |= words.is_one_of(CODE) && is_error_status(value);
            failed |= is_severity
                && text_of(value).is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "error" | "fatal" | "e"));
        });
        failed && !is_fine
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Rows, is_error};

    #[test]
    fn an_empty_list_beside_a_failure_is_no_empty_list() {
        for text in [
            r#"{"status":false,"msg":"invalid api key","data":[]}"#,
            r#"{"ret":-1,"msg":"token invalid","data":[]}"#,
            r#"{"resultCode":"E001","resultMessage":"Invalid key","data":[]}"#,
            r#"{"success":"N","data":[]}"#,
            r#"{"state":"error","data":[]}"#,
            r#"{"Ack":"Failure","data":[]}"#,
            r#"{"responseHeader":{"status":500},"data":[]}"#,
            r#"{"meta":{"code":401},"data":[]}"#,
            r#"{"status":{"code":403,"message":"m"},"data":[]}"#,
            r#"{"messages":[{"code":"401","message":"The field 'Token' is invalid"}],"data":[]}"#,
            r#"{"messages":[{"type":"Error","text":"m"}],"data":[]}"#,
            r#"{"authenticated":false,"data":[]}"#,
        ] {
            assert!(is_error(text, &[], Rows::Empty), "{text}");
            let none = text.replace("[]}", "null}");
            assert!(is_error(&none, &[], Rows::Absent), "{none}");
        }
        for text in [
            r#"{"resultCode":"30","resultMsg":"SERVICE KEY IS NOT REGISTERED ERROR.","data":[]}"#,
            r#"{"result":"NG","message":"auth error","data":[]}"#,
            r#"{"code":99991663,"msg":"token invalid","data":[]}"#,
            r#"{"code":1,"message":"internal error","data":[]}"#,
            r#"{"reason":"unauthorized","data":[]}"#,
            r#"{"message":"Unauthorized","data":[]}"#,
            r#"{"detail":"Token has expired","data":[]}"#,
            r#"{"response":{"code":403},"data":[]}"#,
            r#"{"errno":110,"data":[]}"#,
            r#"{"response_status":{"status_code":4000,"status":"failed"},"data":[]}"#,
            r#"{"Note":"Rate limit exceeded","data":[]}"#,
            r#"{"header":{"resultCode":"99","resultMsg":"UNKNOWN ERROR"},"data":[]}"#,
            r#"{"loginRequired":true,"data":[]}"#,
            r#"{"maintenance":true,"message":"We'll be back soon","data":[]}"#,
        ] {
            assert!(is_error(text, &[], Rows::Empty), "{text}");
            assert!(!is_error(&text.replace("[]", r#"[{"id":1}]"#), &[], Rows::Known), "next to records: {text}");
        }
        for text in [
            r#"{"ResponseCode":"0002","ResponseDescription":"Unauthorized access","data":null}"#,
            r#"{"ret":7,"msg":"token invalid","data":null}"#,
            r#"{"login":true,"message":"Please log in"}"#,
            r#"{"page":"login","msg":"Your session has expired","next":"/login"}"#,
        ] {
            assert!(is_error(text, &[], Rows::Absent), "{text}");
        }
    }

    #[test]
    fn lists_that_have_such_members_are_lists() {
        for text in [
            r#"{"status":false,"message":"No records found","data":[]}"#,
            r#"{"status":false,"data":[]}"#,
            r#"{"ret":0,"msg":"ok","data":[]}"#,
            r#"{"ret":1,"msg":"操作成功","data":[]}"#,
            r#"{"resultCode":"S0000","resultMessage":"Processed","data":[]}"#,
            r#"{"resultCode":"1","resultMessage":"Processed","data":[]}"#,
            r#"{"ResponseCode":"00","ResponseDescription":"Approved","data":[]}"#,
            r#"{"success":"Y","data":[]}"#,
            r#"{"state":"failed","jobs":[]}"#,
            r#"{"state":"open","data":[]}"#,
            r#"{"Ack":"Success","data":[]}"#,
            r#"{"responseHeader":{"status":0,"QTime":500},"data":[]}"#,
            r#"{"meta":{"code":200,"status":"ok","limit":500},"data":[]}"#,
            r#"{"messages":[{"code":"0","message":"OK"}],"data":[]}"#,
            r#"{"messages":[{"code":"401","message":"No records match the request"}],"data":[]}"#,
            r#"{"messages":[{"type":"info","text":"m"}],"data":[]}"#,
            r#"{"messages":["m"],"data":[]}"#,
            r#"{"authenticated":true,"data":[]}"#,
            r#"{"country":{"code":401},"data":[]}"#,
            r#"{"message":"Query executed without errors","data":[]}"#,
            r#"{"message":"0 errors","data":[]}"#,
            r#"{"message":"Remaining quota: 95 of 100","data":[]}"#,
            r#"{"message":"No failed records found","data":[]}"#,
            r#"{"description":"Errors of the last hour","data":[]}"#,
            r#"{"title":"Failed payments","name":"expired","data":[]}"#,
            r#"{"errno":0,"data":[]}"#,
            r#"{"header":{"resultCode":"00","resultMsg":"NORMAL SERVICE."},"data":[]}"#,
            r#"{"header":{"resultCode":"99"},"data":[]}"#,
            r#"{"response":{"code":200},"data":[]}"#,
            r#"{"maintenance":false,"data":[]}"#,
            r#"{"warnings":["shard 3 unavailable"],"data":[]}"#,
            r#"{"description":"All orders","status":"active","data":[]}"#,
        ] {
            assert!(!is_error(text, &[], Rows::Empty), "{text}");
        }
        for text in [
            r#"{"status":false,"msg":"m","data":[]}"#,
            r#"{"state":"error","data":[]}"#,
            r#"{"Ack":"Failure","data":[]}"#,
            r#"{"authenticated":false,"data":[]}"#,
            r#"{"ret":-1,"msg":"m","data":[]}"#,
            r#"{"messages":[{"code":"401","message":"m"}],"data":[]}"#,
        ] {
            assert!(!is_error(text, &[], Rows::Known), "next to records: {text}");
        }
    }
}
