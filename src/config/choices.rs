//! Enums whose variants are words in the configuration: both macros declare one and make it a
//! value, so that words, hints and documentation cannot drift apart.

/// Declares an enum whose variants are words in the configuration.
macro_rules! choices {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for the variant in configuration and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The variant a word stands for, in any case.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.as_str().eq_ignore_ascii_case(word))
            }

            /// The words, as a person would list them.
            #[must_use]
            pub fn words() -> std::borrow::Cow<'static, str> {
                let words: Vec<_> = Self::ALL.iter().map(|choice| choice.as_str()).collect();
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("{} or {last}", rest.join(", ")).into()
                    }
                    _ => words.concat().into(),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use choices;

/// Makes an enum of [`choices!`] a configuration value.
macro_rules! choice_value {
    ($name:ty $(, required: $required:literal)?) => {
        impl $crate::config::value::Value for $name {
            $(const REQUIRED: bool = $required;)?

            fn expected() -> std::borrow::Cow<'static, str> {
                Self::words()
            }

            fn read(raw: &$crate::config::value::Raw) -> Option<Self> {
                Self::from_word(raw.text()?)
            }

            fn write(&self) -> Option<$crate::config::value::Raw> {
                Some($crate::config::value::Raw::Text(self.as_str().to_owned()))
            }
        }
    };
}
pub(crate) use choice_value;
