//! Import cycles between the modules of a crate
//!
//! A module may name its submodules, and they may name it. But between modules that stand side by side
//! in one parent, each with all that is inside it, imports run in one direction. That holds at every depth.
//! What only tests see does not count.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use anyhow::Result;

use super::Fault;
use super::modules::{Id, Reference, Tree};
use super::packages::Package;

/// The modules inside one parent: which of them names which, and the first place where it does.
type Siblings<'a> = BTreeMap<Id, BTreeMap<Id, Reference<'a>>>;

/// Every import cycle of every crate.
pub(super) fn check(root: &Path, packages: &[Package]) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for package in packages {
        for target in package
            .targets
            .iter()
            .filter(|it| it.is_library_or_program())
        {
            faults.extend(check_crate(root, &target.src_path)?);
        }
    }
    Ok(faults)
}

/// Every import cycle of the crate whose root is the file `source` below `root`.
fn check_crate(root: &Path, source: &Path) -> Result<Vec<Fault>> {
    let tree = Tree::read(source)?;
    let mut faults = Vec::new();
    for mut siblings in levels(&tree).into_values() {
        while let Some(cycle) = shortest_cycle(&siblings) {
            faults.extend(take_out(&mut siblings, &cycle, &tree, root));
        }
    }
    Ok(faults)
}

/// The references between siblings, by their parent.
fn levels(tree: &Tree) -> BTreeMap<Id, Siblings<'_>> {
    let mut levels: BTreeMap<Id, Siblings<'_>> = BTreeMap::new();
    for reference in tree.references() {
        let (from, to) = (tree.ancestors(reference.from), tree.ancestors(reference.to));
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        // One of the two stands inside the other where either chain ends here.
        if let (Some(from), Some(to), Some(parent)) = (
            from.get(common),
            to.get(common),
            from.get(common.wrapping_sub(1)),
        ) {
            let siblings = levels.entry(*parent).or_default();
            let named = siblings.entry(*from).or_default();
            named.entry(*to).or_insert(reference);
        }
    }
    levels
}

/// The modules of a shortest cycle; the last names the first.
fn shortest_cycle(siblings: &Siblings<'_>) -> Option<Vec<Id>> {
    let cycles = siblings
        .keys()
        .filter_map(|start| way_back(siblings, *start));
    cycles.min_by_key(Vec::len)
}

/// A shortest way from a module over those that it names back to itself.
fn way_back(siblings: &Siblings<'_>, start: Id) -> Option<Vec<Id>> {
    let mut reached_from: BTreeMap<Id, Id> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for next in siblings.get(&module).into_iter().flat_map(BTreeMap::keys) {
            if reached_from.contains_key(next) {
                continue;
            }
            reached_from.insert(*next, module);
            if *next == start {
                let before = |id: &Id| reached_from.get(id).copied().filter(|id| *id != start);
                let mut way: Vec<Id> = std::iter::successors(before(&start), before).collect();
                way.push(start);
                way.reverse();
                return Some(way);
            }
            open.push_back(*next);
        }
    }
    None
}

/// Removes the references of a cycle, and describes it.
fn take_out(siblings: &mut Siblings<'_>, cycle: &[Id], tree: &Tree, root: &Path) -> Option<Fault> {
    let next = cycle.iter().cycle().skip(1);
    let references = cycle.iter().zip(next);
    let references: Vec<Reference<'_>> = references
        .filter_map(|(from, to)| siblings.get_mut(from)?.remove(to))
        .collect();
    let names: Vec<&str> = cycle
        .iter()
        .chain(cycle.first())
        .map(|id| tree.name(*id))
        .collect();
    let shown = |file: &Path| file.strip_prefix(root).unwrap_or(file).to_path_buf();
    let ties: Vec<String> = references
        .iter()
        .map(|it| format!("{}:{} names {}", shown(it.file).display(), it.line, it.path))
        .collect();
    let first = references.first()?;
    Some(Fault {
        path: shown(first.file),
        line: first.line,
        message: format!("import cycle {}: {}", names.join(" → "), ties.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the files of a crate, and returns what is said about it.
    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let faults = check_crate(root.path(), &root.path().join("lib.rs")).unwrap();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_cycle_is_named_with_its_places() {
        let told = complaints(&[
            ("lib.rs", "mod dial;\nmod pool;\nmod route;\n"),
            ("dial.rs", "\nuse crate::pool::Lease;\n"),
            ("pool.rs", "use crate::route;\npub(crate) struct Lease;\n"),
            ("route.rs", "fn f() { crate::dial::dial(); }\n"),
        ]);
        let expected = "dial.rs:2: import cycle dial → pool → route → dial: dial.rs:2 names crate::pool::Lease, \
                        pool.rs:1 names crate::route, route.rs:1 names crate::dial::dial";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn imports_in_one_direction_are_no_cycle() {
        let told = complaints(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\n"),
            ("a.rs", "use crate::{b::B, c};\npub struct A;\n"),
            (
                "b.rs",
                "use super::c::C;\nuse std::a::b;\npub(crate) struct B;\n",
            ),
            ("c.rs", "pub(crate) struct C;\n"),
        ]);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn a_module_and_its_submodules_may_name_each_other() {
        let told = complaints(&[
            ("lib.rs", "mod a;\n"),
            ("a/mod.rs", "mod inner;\nuse inner::Inner;\nstruct A;\n"),
            ("a/inner.rs", "use super::A;\npub(super) struct Inner;\n"),
        ]);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn siblings_inside_a_module_count_and_so_does_what_is_inside_them() {
        let inside = complaints(&[
            ("lib.rs", "mod a;\n"),
            ("a.rs", "mod x;\nmod y;\n"),
            ("a/x.rs", "use super::y::Y;\n"),
            ("a/y.rs", "fn f() -> super::x::X {}\n"),
        ]);
        assert!(matches!(inside.as_slice(), [one] if one.contains("import cycle x → y → x")));
        let deeper = complaints(&[(
            "lib.rs",
            "mod a { mod x { use crate::b::B; } }\nmod b { mod y { use crate::a; } }\n",
        )]);
        assert!(matches!(deeper.as_slice(), [one] if one.contains("import cycle a → b → a")));
    }

    #[test]
    fn an_import_is_followed_to_where_the_name_is_defined() {
        let told = complaints(&[
            (
                "lib.rs",
                "mod a;\nmod b;\nuse b::*;\npub(crate) use a::A;\n",
            ),
            ("a.rs", "use crate::B;\n"),
            (
                "b.rs",
                "mod inner;\npub(crate) use inner::B;\nuse super::A as Other;\n",
            ),
            ("b/inner.rs", "pub(crate) struct B;\n"),
        ]);
        assert!(
            matches!(told.as_slice(), [one] if one.contains("import cycle a → b → a")),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_named_in_a_macro_counts() {
        let told = complaints(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "fn f() { info!(\"{}\", crate::b::B); }\n"),
            ("b.rs", "fn f() { select! { x = y => [crate::a::A] } }\n"),
        ]);
        assert!(
            matches!(told.as_slice(), [one] if one.contains("import cycle a → b → a")),
            "{told:?}"
        );
    }

    #[test]
    fn a_module_may_stand_in_a_file_of_another_name() {
        let told = complaints(&[
            ("lib.rs", "#[path = \"other/file.rs\"]\nmod a;\nmod b;\n"),
            ("other/file.rs", "use crate::b::B;\n"),
            ("b.rs", "use crate::a;\n"),
        ]);
        assert!(
            matches!(told.as_slice(), [one] if one.contains("import cycle a → b → a")),
            "{told:?}"
        );
    }

    #[test]
    fn tests_may_import_what_they_like() {
        let told = complaints(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::B;\n"),
            (
                "b.rs",
                "#[cfg(test)]\nuse crate::a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n\
                 impl B { #[cfg(test)] fn f() { crate::a::f(); } }\n",
            ),
        ]);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn each_cycle_is_told_once() {
        let told = complaints(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b;\n"),
            ("b.rs", "use crate::a;\nuse crate::c;\n"),
            ("c.rs", "use crate::b;\n"),
        ]);
        let cycles: Vec<bool> = ["a → b → a", "b → c → b"]
            .iter()
            .map(|it| told.iter().any(|line| line.contains(it)))
            .collect();
        assert_eq!((told.len(), cycles), (2, vec![true, true]), "{told:?}");
    }
}
