//! The servers of a store, with the one in use.

/// Nodes in a fixed order and the sticky current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    nodes: Vec<String>,
    current: usize,
}

impl Ring {
    /// A ring of these URLs, the first one current.
    pub(crate) fn new(nodes: Vec<String>) -> Self {
        Self { nodes, current: 0 }
    }

    /// All nodes, the current one first.
    pub(crate) fn order(&self) -> Vec<String> {
        let (before, from) = self.nodes.split_at(self.current.min(self.nodes.len()));
        from.iter().chain(before).cloned().collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node in use.
    pub(crate) fn current(&self) -> Option<&str> {
        self.nodes.get(self.current).map(String::as_str)
    }

    /// Makes a node the current one; false when it was, or is not in the ring.
    pub(crate) fn select(&mut self, url: &str) -> bool {
        match self.nodes.iter().position(|node| node == url) {
            Some(at) if at != self.current => {
                self.current = at;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Moves on from a node that failed, unless somebody did already. Returns the new current
    /// node when there is another one.
    pub(crate) fn move_on_from(&mut self, failed: &str) -> Option<&str> {
        if self.nodes.len() < 2 || self.current() != Some(failed) {
            return None;
        }
        self.current = (self.current + 1) % self.nodes.len();
        self.current()
    }

    /// A new list of nodes. The current one stays if it is in the list, else it is the first.
    /// Returns whether another node became the current one.
    pub(crate) fn replace(&mut self, nodes: Vec<String>) -> bool {
        let before = self.current().map(str::to_owned);
        let kept = nodes.iter().position(|node| Some(node) == before.as_ref());
        self.nodes = nodes;
        self.current = kept.unwrap_or(0);
        kept.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(nodes: &[&str]) -> Ring {
        Ring::new(nodes.iter().map(|&n| n.to_owned()).collect())
    }

    #[test]
    fn the_current_node_is_sticky() {
        let mut abc = ring(&["a", "b", "c"]);
        assert_eq!(abc.order(), ["a", "b", "c"]);
        assert!(abc.select("b") && !abc.select("b") && !abc.select("x"));
        assert_eq!(abc.order(), ["b", "c", "a"]);
        assert!(!abc.replace(vec!["c".into(), "b".into()]));
        assert_eq!(abc.order(), ["b", "c"]);
        assert!(abc.replace(vec!["d".into()]));
        assert_eq!(abc.current(), Some("d"));
    }

    #[test]
    fn one_failure_moves_on_once() {
        let mut ab = ring(&["a", "b"]);
        assert_eq!(ab.move_on_from("a"), Some("b"));
        assert_eq!(ab.move_on_from("a"), None);
        assert_eq!(ring(&["a"]).move_on_from("a"), None);
    }
}
