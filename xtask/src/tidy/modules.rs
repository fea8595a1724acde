//! The modules of one crate, and which module names which, as far as shipped code goes

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, ItemMod, ItemUse, Lit, Macro, UseTree};

/// An import that leads to an import, and so on: more than this is a circle of names that means something outside the crate.
const LONGEST_CHAIN: usize = 32;

/// The place of a module in its [`Tree`].
pub(super) type Id = usize;

/// All modules of a crate. The first is its root.
#[derive(Default)]
pub(super) struct Tree {
    modules: Vec<Module>,
}

struct Module {
    name: String,
    parent: Option<Id>,
    file: PathBuf,
    children: BTreeMap<String, Id>,
    /// What each imported name stands for.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    mentions: Vec<Mention>,
}

/// A path in the code, such as `crate::pool::Lease`.
struct Mention {
    path: Vec<String>,
    line: usize,
}

/// One module names something of another.
pub(super) struct Reference<'a> {
    pub(super) from: Id,
    pub(super) to: Id,
    pub(super) file: &'a Path,
    pub(super) line: usize,
    /// The path as it is written.
    pub(super) path: String,
}

impl Tree {
    /// Reads the crate whose root is `file`.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let directory = file.parent().unwrap_or(file);
        tree.read_file("crate".to_owned(), None, file, directory)?;
        Ok(tree)
    }

    pub(super) fn name(&self, module: Id) -> &str {
        self.module(module).map_or("", |module| &module.name)
    }

    /// The module and all that it stands in, the root first.
    pub(super) fn ancestors(&self, module: Id) -> Vec<Id> {
        let parent = |id: &Id| self.module(*id)?.parent;
        let mut chain: Vec<Id> = std::iter::successors(Some(module), parent).collect();
        chain.reverse();
        chain
    }

    /// Every mention of one module of the crate in another.
    pub(super) fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        self.modules
            .iter()
            .enumerate()
            .flat_map(move |(from, module)| {
                module.mentions.iter().filter_map(move |mention| {
                    let to = self.resolve(from, &mention.path, 0)?;
                    (from != to).then(|| Reference {
                        from,
                        to,
                        file: &module.file,
                        line: mention.line,
                        path: mention.path.join("::"),
                    })
                })
            })
    }

    fn module(&self, id: Id) -> Option<&Module> {
        self.modules.get(id)
    }

    /// The module that has what `path` means in `from`, if that is in this crate.
    fn resolve(&self, from: Id, path: &[String], chain: usize) -> Option<Id> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(self.descend(0, rest, chain)),
            "self" => Some(self.descend(from, rest, chain)),
            "super" => Some(self.descend(self.module(from)?.parent?, rest, chain)),
            _ => self.look_up(from, first, rest, chain),
        }
    }

    fn descend(&self, module: Id, path: &[String], chain: usize) -> Id {
        let Some((first, rest)) = path.split_first() else {
            return module;
        };
        let parent = self.module(module).and_then(|module| module.parent);
        let found = match (first.as_str(), parent) {
            ("super", Some(parent)) => Some(self.descend(parent, rest, chain)),
            _ => self.look_up(module, first, rest, chain),
        };
        // What is neither a module nor an import is defined here.
        found.unwrap_or(module)
    }

    /// Follows a name that is a module, or was imported; `None` if it is neither.
    fn look_up(&self, id: Id, name: &str, rest: &[String], chain: usize) -> Option<Id> {
        let module = self.module(id)?;
        if let Some(child) = module.children.get(name) {
            return Some(self.descend(*child, rest, chain));
        }
        if chain > LONGEST_CHAIN {
            return None;
        }
        if let Some(import) = module.imports.get(name) {
            let path: Vec<String> = import.iter().chain(rest).cloned().collect();
            return self.resolve(id, &path, chain + 1);
        }
        let globs = module.globs.iter();
        let mut sources = globs.filter_map(|glob| self.resolve(id, glob, chain + 1));
        sources.find_map(|source| self.look_up(source, name, rest, chain + 1))
    }

    /// `inside` is the directory where the files of its children stand.
    fn read_file(
        &mut self,
        name: String,
        parent: Option<Id>,
        file: &Path,
        inside: &Path,
    ) -> Result<Id> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        self.add(name, parent, file, inside, &syntax.items)
    }

    fn add(
        &mut self,
        name: String,
        parent: Option<Id>,
        file: &Path,
        inside: &Path,
        items: &[Item],
    ) -> Result<Id> {
        let mut reader = Reader::default();
        for item in items {
            reader.visit_item(item);
        }
        let id = self.modules.len();
        self.modules.push(Module {
            name,
            parent,
            file: file.to_path_buf(),
            children: BTreeMap::new(),
            imports: reader.imports,
            globs: reader.globs,
            mentions: reader.mentions,
        });
        for child in reader.children {
            let name = child.ident.to_string();
            let read = self.read_child(id, child, file, inside)?;
            if let Some(module) = self.modules.get_mut(id) {
                module.children.insert(name, read);
            }
        }
        Ok(id)
    }

    fn read_child(
        &mut self,
        parent: Id,
        child: &ItemMod,
        file: &Path,
        inside: &Path,
    ) -> Result<Id> {
        let name = child.ident.to_string();
        let own = inside.join(&name);
        if let Some((_, items)) = &child.content {
            return self.add(name, Some(parent), file, &own, items);
        }
        let here = file.parent().unwrap_or(file);
        if let Some(elsewhere) = named_file(&child.attrs).map(|path| here.join(path)) {
            let inside = elsewhere.parent().unwrap_or(here);
            return self.read_file(name, Some(parent), &elsewhere, inside);
        }
        let beside = inside.join(format!("{name}.rs"));
        let source = if beside.is_file() {
            beside
        } else {
            own.join("mod.rs")
        };
        self.read_file(name, Some(parent), &source, &own)
    }
}

/// Collects what the items of one module say, without those that only tests see.
#[derive(Default)]
struct Reader<'ast> {
    children: Vec<&'ast ItemMod>,
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    mentions: Vec<Mention>,
}

impl<'ast> Visit<'ast> for Reader<'ast> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.children.push(module);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let line = item.use_token.span.start().line;
        self.import(&item.tree, &mut Vec::new(), line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let line = path.segments.first().map(|it| it.ident.span().start().line);
        self.mentions.push(Mention {
            path: segments.map(|segment| segment.ident.to_string()).collect(),
            line: line.unwrap_or_default(),
        });
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.mention_tokens(call.tokens.clone());
    }
}

impl Reader<'_> {
    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, line: usize) {
        match tree {
            UseTree::Path(it) => {
                path.push(it.ident.to_string());
                self.import(&it.tree, path, line);
                path.pop();
            }
            UseTree::Name(it) if it.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.record(name, path.clone(), line);
            }
            UseTree::Name(it) => {
                self.record(it.ident.to_string(), joined(path, &it.ident), line);
            }
            UseTree::Rename(it) => {
                self.record(it.rename.to_string(), joined(path, &it.ident), line);
            }
            UseTree::Glob(_) => {
                self.globs.push(path.clone());
                self.mentions.push(Mention {
                    path: path.clone(),
                    line,
                });
            }
            UseTree::Group(it) => {
                for tree in &it.items {
                    self.import(tree, path, line);
                }
            }
        }
    }

    fn record(&mut self, name: String, path: Vec<String>, line: usize) {
        self.imports.insert(name, path.clone());
        self.mentions.push(Mention { path, line });
    }

    /// The arguments of a macro may be no Rust, so every `a::b` in them counts as a path.
    fn mention_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.mention(&mut path, line);
                        line = word.span().start().line;
                    }
                    path.push(word.to_string());
                }
                TokenTree::Group(group) => {
                    self.mention(&mut path, line);
                    self.mention_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.mention(&mut path, line),
            }
            colons = 0;
        }
        self.mention(&mut path, line);
    }

    fn mention(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if !path.is_empty() {
            self.mentions.push(Mention { path, line });
        }
    }
}

fn joined(path: &[String], last: &syn::Ident) -> Vec<String> {
    let last = std::iter::once(last.to_string());
    path.iter().cloned().chain(last).collect()
}

/// The file that `#[path = "…"]` names.
fn named_file(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|it| it.path().is_ident("path"))?;
    let value = &attribute.meta.require_name_value().ok()?.value;
    if let Expr::Lit(literal) = value
        && let Lit::Str(path) = &literal.lit
    {
        return Some(path.value());
    }
    None
}

fn is_test(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|it| it.path().is_ident("cfg"));
    let mut conditions = conditions.filter_map(|it| it.parse_args::<syn::Ident>().ok());
    conditions.any(|condition| condition == "test")
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not exhaustive, and the other items have no use for a test"
)]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}
