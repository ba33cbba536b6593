//! Changes of which several may be about one object, as events of a feed are: in rounds, so that each waits for the one before. Pure.

use std::collections::HashMap;

use crate::detect::event::Change;

/// Rounds of changes of distinct objects, in the order in which they came.
pub fn rounds(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut rounds: Vec<Vec<Change>> = Vec::new();
    let mut next: HashMap<u64, usize> = HashMap::new();
    for change in changes {
        let round = next.entry(change.object).or_default();
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(change);
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sample::change;

    #[test]
    fn each_round_has_an_object_once_and_none_is_overtaken() {
        let came = [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2)];
        let rounds = rounds(came.iter().map(|(object, version)| change(*object, *version)).collect());
        let told: Vec<Vec<_>> =
            rounds.iter().map(|round| round.iter().map(|c| (c.object, c.known.version)).collect()).collect();
        assert_eq!(told, [vec![(1, 1), (2, 1), (3, 1)], vec![(1, 2), (2, 2)], vec![(1, 3)]]);
        assert!(super::rounds(Vec::new()).is_empty());
    }
}
