//! Whether an answer of status 200 says that something went wrong. Pure.
//!
//! Names (`error`, `faults`, `errorMessage`) and the shapes that APIs use (`{"status":"error"}`, `{"success":false}`,
//! `{"code":401,"message":"…"}`) decide. The more of a response is records, the less is taken for an error: a record list may well have a
//! `status` next to it that is data.

use super::names::Words;
use crate::plan::field_path::Segment;
use crate::plan::json;

mod instead;
mod rowless;
pub(super) use self::instead::said_instead;

/// What an answer has of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// None, nor a list that could have some.
    Absent,
    /// A list that is empty.
    Empty,
    /// Some, at a place that was just found out.
    Guessed,
    /// Some, where the manifest or an earlier answer says.
    Known,
}

/// Objects inside objects that are looked into.
const MAX_LEVELS: usize = 3;
/// Records of a list that are looked at.
const MAX_RECORDS: usize = 20;
/// Members that a record may have and still be taken for an error.
const MAX_MEMBERS: usize = 8;

const ERROR: &[&str] = &[
    "error",
    "errors",
    "err",
    "errs",
    "fault",
    "faults",
    "exception",
    "exceptions",
    "errcode",
    "errmsg",
    "errno",
    "faultstring",
    "faultcode",
];
/// With these, a member is about errors and none itself.
const ABOUT: &[&str] = &[
    "count",
    "counts",
    "total",
    "num",
    "number",
    "rate",
    "url",
    "uri",
    "link",
    "page",
    "policy",
    "handler",
    "handling",
    "log",
    "logs",
    "level",
    "threshold",
    "budget",
    "margin",
    "on",
    "if",
    "ignore",
    "continue",
    "allow",
    "retry",
    "last",
    "previous",
    "callback",
];
/// Words that accompany an error word in the names of error members proper.
const SIDE: &[&str] = &[
    "message",
    "messages",
    "msg",
    "description",
    "detail",
    "details",
    "soap",
    "s",
    "env",
    "api",
    "graphql",
    "query",
    "response",
    "server",
    "service",
    "info",
    "text",
    "string",
    "code",
    "has",
    "is",
];
const FAILED: &[&str] = &[
    "error",
    "errors",
    "err",
    "fail",
    "failed",
    "failure",
    "exception",
    "fault",
    "unauthorized",
    "forbidden",
    "denied",
    "invalid",
    "nok",
    "ko",
];
const MESSAGE: &[&[&str]] = &[&["message"], &["msg"], &["detail"], &["reason"], &["status", "message"], &["info"]];
/// Members that a response without records may have in addition to its message.
const BYSTANDERS: &[&str] =
    &["timestamp", "time", "path", "request", "trace", "documentation", "instance", "type", "title", "description"];
const CODE: &[&[&str]] =
    &[&["code"], &["status"], &["status", "code"], &["http", "status"], &["response", "code"], &["result", "code"]];

/// Whether `text` says that something went wrong: an answer, or with rows its envelope. `path` leads to the records.
pub(super) fn is_error(text: &str, path: &[Segment], rows: Rows) -> bool {
    let levels = if rows == Rows::Known { 0 } else { MAX_LEVELS };
    if object_is_error(text, rows, levels) {
        return true;
    }
    if matches!(rows, Rows::Absent | Rows::Empty) && rowless::is_failure(text, rows == Rows::Empty) {
        return true;
    }
    if rows == Rows::Known {
        // What wraps the list speaks for it, too.
        let mut value = text;
        for step in path {
            let Segment::Key(key) = step else { break };
            let Some(inner) = json::member(value, key) else { break };
            value = inner;
            if value.starts_with('{') && object_is_error(value, rows, 0) {
                return true;
            }
        }
    }
    false
}

/// Whether all of these records are errors: a list of `{"errorCode":…,"message":…}`.
pub(super) fn are_errors<'a>(records: impl Iterator<Item = &'a str>) -> bool {
    let mut any = false;
    for record in records.take(MAX_RECORDS) {
        any = true;
        let (mut error, mut identified, mut members) = (false, false, 0);
        json::for_each_member(record, |key, value| {
            let words = Words::of(key);
            members += 1;
            identified |= words.has_any(&["id", "uuid", "guid", "key", "name"]);
            error |= words.has_any(ERROR) && !words.has_any(ABOUT) && means_something(value);
        });
        if !error || identified || members > MAX_MEMBERS {
            return false;
        }
    }
    any
}

fn object_is_error(object: &str, rows: Rows, levels: usize) -> bool {
    let mut error = false;
    let mut nested = Vec::new();
    let (mut bad_code, mut message, mut only_words, mut members) = (false, false, true, 0);
    json::for_each_member(object, |key, value| {
        let words = Words::of(key);
        members += 1;
        error |= member_is_error(&words, value, rows);
        if words.is_one_of(MESSAGE) {
            message |= text_of(value).is_some_and(|text| !is_ok(&text));
        } else if words.is_one_of(CODE) {
            bad_code |= is_bad_code(value);
        } else if value != "null" && !words.has_any(BYSTANDERS) {
            only_words = false;
        }
        if value.starts_with('{') && levels > 0 {
            nested.push(value);
        }
    });
    let words_alone = rows == Rows::Absent && message && (bad_code || (only_words && members > 0));
    error || words_alone || nested.into_iter().any(|inner| nested_is_error(inner, rows, levels - 1))
}

/// Deeper down only error members count: a message or a status of what is nested may be data.
fn nested_is_error(object: &str, rows: Rows, levels: usize) -> bool {
    let mut error = false;
    let mut nested = Vec::new();
    json::for_each_member(object, |key, value| {
        let words = Words::of(key);
        error |= words.has_any(ERROR) && words.within(&[ERROR, SIDE]) && means_something(value);
        error |= words.is(&["status"])
            && rows != Rows::Guessed
            && text_of(value).is_some_and(|text| text.eq_ignore_ascii_case("error"));
        if value.starts_with('{') && levels > 0 {
            nested.push(value);
        }
    });
    error || nested.into_iter().any(|inner| nested_is_error(inner, rows, levels - 1))
}

fn member_is_error(words: &Words, value: &str, rows: Rows) -> bool {
    if words.has_any(ERROR) && !words.has_any(ABOUT) && (rows == Rows::Absent || words.within(&[ERROR, SIDE])) {
        return means_something(value);
    }
    if words.within(&[&["is", "was", "request", "success", "successful", "succeeded", "ok"]])
        && words.has_any(&["success", "successful", "succeeded", "ok"])
    {
        return matches!(value, "false" | "\"false\"" | "0" | "\"0\"");
    }
    if rows == Rows::Known {
        return false;
    }
    let text = text_of(value);
    let lower = text.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
    match () {
        () if words.is_one_of(&[&["status"], &["stat"], &["result"], &["outcome"], &["response", "status"]])
            || (rows == Rows::Absent && words.is(&["state"])) =>
        {
            FAILED.contains(&lower.as_str()) || is_error_status(value)
        }
        () if words.is_one_of(&[&["object"], &["type"], &["kind"], &["class"]]) => {
            lower == "error" || lower.ends_with("exception") || lower.ends_with("error") || lower == "fault"
        }
        () if words.is_one_of(CODE) => is_error_status(value),
        () => false,
    }
}

fn is_error_status(value: &str) -> bool {
    value.trim_matches('"').parse::<u16>().is_ok_and(|code| (400..600).contains(&code))
}

/// A number that is no good code, or a word such as `INVALID_TOKEN`.
fn is_bad_code(value: &str) -> bool {
    let text = value.trim_matches('"').to_ascii_lowercase();
    match text.parse::<i64>() {
        Ok(_) => !is_good_code(value),
        Err(_) => ["err", "fail", "invalid", "denied", "unauth", "exception", "forbidden", "expired"]
            .iter()
            .any(|word| text.contains(word)),
    }
}

/// Zero, a 2xx or a word such as `OK`.
fn is_good_code(value: &str) -> bool {
    let text = value.trim_matches('"');
    match text.parse::<i64>() {
        Ok(code) => code == 0 || (200..300).contains(&code),
        Err(_) => is_ok(text) || is_off(text) || value == "null" || value == "true",
    }
}

fn text_of(value: &str) -> Option<String> {
    json::scalar_text(value).filter(|_| value.starts_with('"')).map(|text| text.trim().to_owned())
}

/// Whether the value of an error member is an error: not empty, not zero, not `OK`.
fn means_something(value: &str) -> bool {
    match value.as_bytes().first() {
        None | Some(b'n' | b'f') => false,
        Some(b't') => true,
        Some(b'"') => text_of(value).is_none_or(|text| !is_ok(&text) && !is_off(&text) && !is_good_code(&text)),
        Some(b'[') => serde_json::from_str::<Vec<&serde_json::value::RawValue>>(value)
            .is_ok_and(|items| items.iter().any(|item| means_something(item.get()))),
        Some(b'{') => {
            let (mut something, mut good_code) = (false, false);
            json::for_each_member(value, |key, inner| {
                let words = Words::of(key);
                let is_code = words.has_any(&["code", "status", "errcode", "errno"]);
                good_code |= is_code && is_good_code(inner) && inner != "null" && inner != "\"\"";
                something |= match text_of(inner) {
                    _ if is_code => !is_good_code(inner),
                    Some(text) if words.is_one_of(MESSAGE) => !is_ok(&text),
                    _ => means_something(inner),
                };
            });
            something && !good_code
        }
        Some(_) => !is_good_code(value),
    }
}

/// A text that answers a question with no. As a message it says that something is refused.
fn is_off(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "false" | "no")
}

/// A text that says that all is well, or that there is nothing to list.
fn is_ok(text: &str) -> bool {
    let text = text.trim().trim_end_matches(['.', '!']).to_ascii_lowercase();
    let well = matches!(
        text.as_str(),
        "" | "ok"
            | "okay"
            | "success"
            | "successful"
            | "succeeded"
            | "done"
            | "complete"
            | "completed"
            | "fine"
            | "good"
            | "none"
            | "null"
            | "n/a"
            | "-"
            | "noerror"
            | "no error"
            | "no errors"
            | "no_error"
    );
    let succeeded = (text.contains("success") && !text.contains("unsuccess") && !text.contains("not success"))
        || (text.contains("成功") && !text.contains(['不', '未', '没']));
    let nothing = ["no ", "nothing", "empty", "0 ", "zero ", "there are no ", "there is no "]
        .iter()
        .any(|start| text.starts_with(start))
        && ["found", "record", "result", "data", "item", "entr", "row", "match", "content", "more", "empty", "list", "chang"]
            .iter()
            .any(|word| text.contains(word))
        && !["access", "permission", "token", "auth", "credential", "key", "valid", "licen", "connection"]
            .iter()
            .any(|word| text.contains(word));
    well || succeeded || nothing
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ERRORS: &[&str] = &[
        r#"{"errors":[{"id":"3f1c","status":"500","title":"backend timeout"}]}"#,
        r#"{"errors":["x"]}"#,
        r#"{"retorno":{"status":"Erro","erros":[{"erro":"m"}]}}"#,
        r#"{"fehler":{"meldung":"m"}}"#,
        r#"{"data":null,"errors":[{"message":"m"}]}"#,
        r#"{"Errors":{"0":"x"}}"#,
        r#"{"status":"error","errors":[]}"#,
        r#"{"status":"FAILED"}"#,
        r#"{"status":"fail","data":{"title":"A title is required"}}"#,
        r#"{"status":"error","data":[]}"#,
        r#"{"success":false,"message":"token expired","data":[]}"#,
        r#"{"success":false}"#,
        r#"{"Success":"false"}"#,
        r#"{"ok":false,"error":"invalid_auth"}"#,
        r#"{"ok":0}"#,
        r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
        r#"{"error":"invalid_token","error_description":"m"}"#,
        r#"{"error":{"message":"no"}}"#,
        r#"{"message":"No!"}"#,
        r#"{"odata.error":{"code":"","message":{"lang":"en","value":"m"}}}"#,
        r#"{"error":true,"reason":"m"}"#,
        r#"{"hasErrors":true}"#,
        r#"{"isError":true}"#,
        r#"{"Fault":{"faultcode":"soap:Server","faultstring":"m"}}"#,
        r#"{"soap:Envelope":{"soap:Body":{"soap:Fault":{"faultstring":"m"}}}}"#,
        r#"{"fault":"m"}"#,
        r#"{"exception":"com.example.X"}"#,
        r#"{"Message":"An error has occurred.","ExceptionMessage":"m"}"#,
        r#"{"timestamp":1,"status":500,"error":"Internal Server Error","path":"/x"}"#,
        r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
        r#"{"object":"error","status":401,"code":"unauthorized","message":"m"}"#,
        r#"{"type":"error","message":"m"}"#,
        r#"{"stat":"fail","code":100,"message":"Invalid API Key"}"#,
        r#"{"errcode":40001,"errmsg":"invalid credential"}"#,
        r#"{"errorCode":"INVALID_SESSION_ID","message":"m"}"#,
        r#"{"code":401,"message":"m","data":null}"#,
        r#"{"code":10001,"msg":"token invalid","data":null}"#,
        r#"{"detail":"Invalid token."}"#,
        r#"{"message":"Not Found","documentation_url":"https://x"}"#,
        r#"{"message":"backend timeout"}"#,
        r#"{"title":"Bad","status":400,"type":"about:blank"}"#,
        r#"{"errorMessages":["The value is wrong"],"errors":{}}"#,
        r#"{"response":{"error":{"code":5,"message":"m"}}}"#,
        r#"{"meta":{"errors":["m"]},"data":[]}"#,
        r#"{"response":{"status":"error"}}"#,
    ];

    const FINE: &[&str] = &[
        "{}",
        "[]",
        r#"{"data":[],"errors":[]}"#,
        r#"{"data":[],"error":null}"#,
        r#"{"data":[],"error":false}"#,
        r#"{"data":[],"error":"no","errors":{"any":"false"}}"#,
        r#"{"data":[],"error":""}"#,
        r#"{"data":[],"error":0,"errors":{}}"#,
        r#"{"errcode":0,"errmsg":"ok","list":[]}"#,
        r#"{"error":{"code":0,"message":"OK"},"items":[]}"#,
        r#"{"error":{"code":"","message":""},"items":[]}"#,
        r#"{"errorCode":"0","errorMessage":"","items":[]}"#,
        r#"{"error_code":200,"items":[]}"#,
        r#"{"code":0,"message":"success","data":[]}"#,
        r#"{"code":1,"msg":"success","data":[]}"#,
        r#"{"code":200,"msg":"操作成功","data":[]}"#,
        r#"{"success":true,"message":"Fetched","data":[]}"#,
        r#"{"status":"ok"}"#,
        r#"{"status":"success","data":[]}"#,
        r#"{"status":200,"data":null}"#,
        r#"{"resultSizeEstimate":0}"#,
        r#"{"messages":null,"total":0}"#,
        r#"{"message":"No records found"}"#,
        r#"{"message":"OK"}"#,
        r#"{"message":"no data","code":0}"#,
        r#"{"hasErrors":false,"errorCount":0,"items":[]}"#,
        r#"{"errorCount":3,"items":[]}"#,
        r#"{"default":"x","items":[]}"#,
        r#"{"kind":"calendar#events","items":[]}"#,
        r#"{"nextSyncToken":"x","etag":"\"y\""}"#,
        r#"{"settings":{"on_error":"retry"},"items":[]}"#,
        r#"{"description":"All orders","items":[]}"#,
    ];

    #[test]
    fn knows_an_error_from_an_empty_answer() {
        for text in ERRORS {
            assert!(is_error(text, &[], Rows::Absent), "{text}");
        }
        for text in FINE {
            assert!(!is_error(text, &[], Rows::Absent), "{text}");
        }
    }

    #[test]
    fn an_empty_list_makes_a_message_harmless() {
        for (text, error) in [
            (r#"{"code":1,"msg":"查询成功","data":[]}"#, false),
            (r#"{"code":"USD","description":"All orders","items":[]}"#, false),
            (r#"{"message":"Welcome","items":[]}"#, false),
            (r#"{"state":"failed","jobs":[]}"#, false),
            (r#"{"code":401,"message":"m","data":[]}"#, true),
            (r#"{"success":false,"data":[]}"#, true),
            (r#"{"status":"error","data":[]}"#, true),
            (r#"{"errors":["m"],"data":[]}"#, true),
            (r#"{"result":{"error":"m","list":[]}}"#, true),
        ] {
            assert_eq!(is_error(text, &[], Rows::Empty), error, "{text}");
        }
    }

    #[test]
    fn beside_records_only_error_members_count() {
        let data = [Segment::Key("d".into()), Segment::Key("items".into())];
        for (text, guessed, known) in [
            (r#"{"data":[],"errors":[{"message":"m"}]}"#, true, true),
            (r#"{"data":[],"error":"m"}"#, true, true),
            (r#"{"data":[],"success":false}"#, true, true),
            (r#"{"d":{"items":[],"errors":["m"]}}"#, true, true),
            (r#"{"details":[],"status":"error"}"#, true, false),
            (r#"{"jobs":[],"status":"failed"}"#, true, false),
            (r#"{"details":[],"code":500,"message":"m"}"#, true, false),
            (r#"{"data":[],"message":"Fetched 3 rows"}"#, false, false),
            (r#"{"data":[],"code":7,"message":"m"}"#, false, false),
            (r#"{"data":[],"lastError":"m","errorPolicy":"skip"}"#, false, false),
            (r#"{"data":[],"errors":[]}"#, false, false),
        ] {
            assert_eq!(is_error(text, &data, Rows::Guessed), guessed, "guessed: {text}");
            assert_eq!(is_error(text, &data, Rows::Known), known, "known: {text}");
        }
    }

    #[test]
    fn a_list_of_errors_is_no_list_of_records() {
        assert!(are_errors([r#"{"errorCode":"INVALID_SESSION_ID","message":"m"}"#].into_iter()));
        assert!(are_errors([r#"{"error":"m"}"#, r#"{"error":"n","field":"f"}"#].into_iter()));
        for records in [
            vec![],
            vec![r#"{"id":1,"error":"m"}"#],
            vec![r#"{"error":"m"}"#, r#"{"id":1}"#],
            vec![r#"{"message":"m"}"#],
            vec![r#"{"error":null}"#],
            vec!["1"],
        ] {
            assert!(!are_errors(records.iter().copied()), "{records:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"([{}\[\]",:0-9ea]|"error"|"status"|null|é){0,30}"#) {
            for rows in [Rows::Absent, Rows::Empty, Rows::Guessed, Rows::Known] {
                let _ = is_error(&text, &[Segment::Key("a".into())], rows);
            }
        }
    }
}
