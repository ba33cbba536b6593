//! The words of a member's name, so that `hasMore`, `has-more`, `HAS_MORE` and `hasmore` read alike.

/// Characters of a name that are looked at.
const MAX_NAME: usize = 64;

/// Prefixes that say who sends a member, and nothing about what it is.
const VENDORS: &[&str] = &["x", "odata", "hydra", "opensearch", "wp", "ms", "http"];

/// Words that names of paging members are made of: what was written in one piece is taken apart by them. Of two that begin
/// alike, either may come first, since only a split without a rest counts.
const VOCABULARY: &[&str] = &[
    "has",
    "have",
    "is",
    "are",
    "no",
    "more",
    "next",
    "pages",
    "page",
    "pagination",
    "paging",
    "pagelen",
    "per",
    "size",
    "limit",
    "max",
    "min",
    "total",
    "count",
    "number",
    "num",
    "nb",
    "found",
    "matched",
    "first",
    "last",
    "current",
    "cur",
    "prev",
    "previous",
    "end",
    "start",
    "at",
    "of",
    "stream",
    "list",
    "items",
    "item",
    "records",
    "record",
    "results",
    "result",
    "rows",
    "row",
    "entries",
    "entry",
    "elements",
    "element",
    "objects",
    "object",
    "documents",
    "document",
    "docs",
    "hits",
    "data",
    "offset",
    "index",
    "skip",
    "token",
    "cursor",
    "mark",
    "marker",
    "bookmark",
    "continuation",
    "continue",
    "resumption",
    "scroll",
    "id",
    "key",
    "after",
    "link",
    "url",
    "uri",
    "href",
    "available",
    "remaining",
    "truncated",
    "done",
    "complete",
    "evaluated",
    "search",
    "set",
    "batch",
    "position",
    "errors",
    "error",
    "err",
    "code",
    "message",
    "msg",
    "fault",
    "string",
    "partial",
    "incomplete",
];

/// What a link to more of it says is about the list or one record, and no further rows.
const ASIDE: &[&str] = &["details", "infos", "news", "terms", "options", "settings", "instructions", "stats", "docs"];

/// Words of paging and of errors in the languages in which providers name members, as far as they mean nothing else in English or
/// in another of them.
const TRANSLATED: &[(&str, &[&str])] = &[
    ("page", &["pagina", "página", "seite"]),
    ("pages", &["paginas", "páginas", "pagine", "seiten"]),
    ("total", &["totale", "totales", "totaux", "totaal", "gesamt", "gesamtzahl"]),
    ("count", &["anzahl"]),
    ("number", &["numero", "número", "numéro", "nummer"]),
    ("of", &["de", "von"]),
    ("per", &["por"]),
    ("records", &["registros", "enregistrements", "datensätze", "datensaetze"]),
    ("results", &["resultados", "resultats", "résultats", "ergebnisse", "risultati"]),
    ("current", &["courante", "courant", "aktuelle", "corrente", "atual"]),
    ("next", &["siguiente", "proxima", "próxima", "proximo", "próximo", "suivante", "suivant", "nächste", "naechste"]),
    ("more", &["weitere"]),
    ("last", &["ultima", "última", "ultimo", "último", "derniere", "dernière", "letzte"]),
    ("has", &["tiene"]),
    ("error", &["erro", "fehler", "erreur", "errore"]),
    ("errors", &["erros", "errores", "erreurs", "errori"]),
    ("message", &["mensagem", "mensaje", "meldung"]),
];

/// The words of one name, in lower case and in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(name: &str) -> Self {
        let chars: Vec<char> = name.chars().take(MAX_NAME).collect();
        let mut pieces = vec![String::new()];
        for (at, &c) in chars.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or(' ');
            let starts_word = c.is_uppercase()
                && (before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && chars.get(at + 1).is_some_and(|after| after.is_lowercase())));
            if !c.is_alphanumeric() || starts_word {
                pieces.push(String::new());
            }
            if let (true, Some(piece)) = (c.is_alphanumeric(), pieces.last_mut()) {
                piece.extend(c.to_lowercase());
            }
        }
        let mut words: Vec<String> = Vec::with_capacity(pieces.len());
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            if words.is_empty() && VENDORS.contains(&piece.as_str()) {
                continue;
            }
            let translated = TRANSLATED.iter().find(|(_, others)| others.contains(&piece.as_str()));
            if let Some((word, _)) = translated {
                words.push((*word).to_owned());
                continue;
            }
            match taken_apart(&piece) {
                Some(parts) if !VOCABULARY.contains(&piece.as_str()) => words.extend(parts.into_iter().map(str::to_owned)),
                _ => words.push(piece),
            }
        }
        Self(words)
    }

    /// These words, then others.
    pub(super) fn then(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    pub(super) fn is(&self, words: &[&str]) -> bool {
        self.0 == words
    }

    pub(super) fn is_one_of(&self, names: &[&[&str]]) -> bool {
        names.iter().any(|words| self.is(words))
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|own| own == word)
    }

    pub(super) fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has(word))
    }

    /// Whether the other name has all of these words.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|word| other.has(word))
    }

    /// Whether there is no word outside of these sets.
    pub(super) fn within(&self, sets: &[&[&str]]) -> bool {
        !self.0.is_empty() && self.0.iter().all(|own| sets.iter().any(|set| set.contains(&own.as_str())))
    }

    /// Whether names of paging members have all of these words.
    pub(super) fn is_of_paging(&self) -> bool {
        self.within(&[VOCABULARY])
    }

    /// Whether it names a link to more of what lists have: `more_topics_url`, but not `more_info_url`.
    pub(super) fn leads_to_more_rows(&self) -> bool {
        let [more, rows, link] = self.0.as_slice() else { return false };
        let is_many = rows.ends_with('s') && !ASIDE.contains(&rows.as_str());
        more == "more" && is_many && ["url", "uri", "link", "href"].contains(&link.as_str())
    }

    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

fn taken_apart(piece: &str) -> Option<Vec<&'static str>> {
    if piece.is_empty() {
        return Some(Vec::new());
    }
    VOCABULARY.iter().find_map(|word| {
        let mut parts = taken_apart(piece.strip_prefix(word)?)?;
        parts.insert(0, word);
        Some(parts)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_read_alike() {
        for (names, words) in [
            (
                &["has_more", "hasMore", "HasMore", "has-more", "HAS_MORE", "hasmore", "HASMORE", "has more"][..],
                &["has", "more"][..],
            ),
            (&["nextPageToken", "next_page_token", "nextpagetoken", "NextPageToken"], &["next", "page", "token"]),
            (&["X-WP-TotalPages", "totalPages", "total_pages", "x-total-pages", "TOTALPAGES"], &["total", "pages"]),
            (&["@odata.nextLink", "odata.nextLink", "nextLink", "next-link"], &["next", "link"]),
            (&["nextURL", "NextURL", "next_url"], &["next", "url"]),
            (&["hydra:next", "next"], &["next"]),
            (&["vid-offset", "vidOffset"], &["vid", "offset"]),
            (&["pageSize", "pagesize"], &["page", "size"]),
            (&["total_ms"], &["total", "ms"]),
            (&["total_paginas", "totalPaginas", "total_páginas", "gesamtSeiten", "TOTAL_PAGES"], &["total", "pages"]),
            (&["default"], &["default"]),
            (&["", "$", "_"], &[]),
        ] {
            for name in names {
                assert_eq!(Words::of(name).0, words, "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(name in any::<String>(), glued in "(page|pages|next|at|of|no|x){0,16}") {
            let _ = (Words::of(&name), Words::of(&glued));
        }
    }
}
