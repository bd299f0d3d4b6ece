//! One row per key: the macro that declares a section, and what the rows are used for.
//!
//! A row holds name, type, default, range and sentence. From it come the struct's field and its
//! documentation, `Default`, reading, the list of [`Key`]s and the dump, so that a key cannot be
//! half added.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::mistake::{Mistake, Origin, nearest};
use super::value::{Raw, Value};
use super::{ENVIRONMENT_PREFIX, Origins};

/// A found value and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The value.
    pub raw: Raw,
    /// Where it was found.
    pub origin: Origin,
}

/// What the documentation needs to know about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The section, such as `grpc`, or `credentials.<name>` for named ones.
    pub section: &'static str,
    /// The key's name within its section.
    pub name: &'static str,
    /// What may be written, range included.
    pub expected: String,
    /// The default as it would be written; `None` when the key is absent by default.
    pub default: Option<String>,
    /// Whether the section is wrong without this key.
    pub required: bool,
    /// What the key does.
    pub doc: &'static str,
}

impl Key {
    /// The path of the key, such as `grpc.listen`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable of the key.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(&self.path())
    }
}

/// The environment variable of a key's path.
pub fn variable(path: &str) -> String {
    let name = path.replace('.', "__").replace('-', "_").to_ascii_uppercase();
    format!("{ENVIRONMENT_PREFIX}{name}")
}

/// What [`section!`] implements.
pub trait Section: Sized {
    /// The section's rows.
    fn keys() -> Vec<Key>;

    /// Reads the section; keys that are wrong get their default and a mistake.
    fn read(reader: &mut Reader<'_>) -> Self;

    /// Writes every key, hiding what may not be shown.
    fn write(&self) -> Vec<(&'static str, Option<Raw>)>;
}

/// Reads the entries of one section and collects what is wrong with them.
pub struct Reader<'a> {
    /// The path of the section as it is, such as `credentials.main`.
    path: String,
    entries: BTreeMap<String, Entry>,
    mistakes: &'a mut Vec<Mistake>,
    origins: &'a mut Origins,
    /// Where a missing key would have been expected.
    origin: Origin,
}

impl<'a> Reader<'a> {
    /// Reads `entries` as the section at `path`.
    pub fn new(
        path: impl Into<String>,
        origin: Origin,
        entries: BTreeMap<String, Entry>,
        mistakes: &'a mut Vec<Mistake>,
        origins: &'a mut Origins,
    ) -> Self {
        Self { path: path.into(), entries, mistakes, origins, origin }
    }

    /// Takes one key, or its default when it is absent or wrong.
    pub fn take<T: Value>(&mut self, name: &str, default: T) -> T {
        self.take_if(name, default, |_| true, T::expected().into_owned())
    }

    /// Takes one key whose values have limits.
    pub fn take_within<T>(&mut self, name: &str, default: T, range: &RangeInclusive<T>) -> T
    where
        T: Value + PartialOrd,
    {
        let expected = within_text(range);
        self.take_if(name, default, |value| range.contains(value), expected)
    }

    fn take_if<T: Value>(
        &mut self,
        name: &str,
        default: T,
        accept: impl Fn(&T) -> bool,
        expected: String,
    ) -> T {
        let path = format!("{}.{name}", self.path);
        let Some(Entry { raw, origin }) = self.entries.remove(name) else {
            if T::REQUIRED {
                let text = format!("{name} is missing; expected {expected}");
                self.mistakes.push(Mistake::new(path, self.origin.clone(), text));
            }
            return default;
        };
        self.origins.set(&path, origin.clone());
        T::read(&raw).filter(accept).unwrap_or_else(|| {
            let text = format!("found {}, expected {expected}", T::found(&raw));
            self.mistakes.push(Mistake::new(path, origin, text));
            default
        })
    }

    /// Reports what no key took, with the nearest name that exists.
    pub fn finish<S: Section>(self, hint: impl Fn(&str) -> Option<&'static str>) {
        let keys = S::keys();
        for (name, entry) in self.entries {
            let near = nearest(&name, keys.iter().map(|key| key.name));
            let text = match (hint(&name), near) {
                (Some(hint), _) => hint.to_owned(),
                (None, Some(near)) => {
                    let path = format!("{}.{near}", self.path);
                    let meant = match &entry.origin {
                        Origin::Environment(_) => variable(&path),
                        _ => path,
                    };
                    format!("unknown key; did you mean {meant}?")
                }
                (None, None) => "unknown key".to_owned(),
            };
            let path = format!("{}.{name}", self.path);
            self.mistakes.push(Mistake::new(path, entry.origin, text));
        }
    }
}

/// What is expected of a value with limits.
pub fn within_text<T: Value>(range: &RangeInclusive<T>) -> String {
    let bound = |value: &T| value.write().map_or_else(String::new, |raw| raw.plain());
    let (from, to) = (bound(range.start()), bound(range.end()));
    format!("{}, from {from} to {to}", T::expected())
}

/// Declares one section: a struct and its rows.
///
/// A row is `/// what it does`, then `name: Type = default, range;` where the range may be left
/// out. The second argument is the section's path in the documentation.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident in $path:literal {
            $(
                $(#[doc = $doc:literal])+
                $name:ident : $type:ty = $default:expr $(, $range:expr)? ;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $crate::config::section::Section for $section {
            fn keys() -> Vec<$crate::config::section::Key> {
                use $crate::config::value::Value;
                let default = Self::default();
                vec![$($crate::config::section::Key {
                    section: $path,
                    name: stringify!($name),
                    expected: $crate::config::section::section!(@expected $type $(, $range)?),
                    default: default.$name.write().map(|raw| raw.plain()),
                    required: <$type as Value>::REQUIRED,
                    doc: concat!($($doc),+).trim_ascii(),
                },)+]
            }

            fn read(reader: &mut $crate::config::section::Reader<'_>) -> Self {
                Self {
                    $($name: $crate::config::section::section!(
                        @take reader, stringify!($name), $default $(, $range)?
                    ),)+
                }
            }

            fn write(&self) -> Vec<(&'static str, Option<$crate::config::value::Raw>)> {
                use $crate::config::value::Value;
                vec![$((stringify!($name), self.$name.write()),)+]
            }
        }
    };
    (@expected $type:ty) => { <$type as $crate::config::value::Value>::expected().into_owned() };
    (@expected $type:ty, $range:expr) => { $crate::config::section::within_text::<$type>(&$range) };
    (@take $reader:ident, $name:expr, $default:expr) => { $reader.take($name, $default) };
    (@take $reader:ident, $name:expr, $default:expr, $range:expr) => {
        $reader.take_within($name, $default, &$range)
    };
}
pub(crate) use section;
