//! The one macro of the crate: a class is written down as the specification writes it, and its readers and writers follow
//! from that.
//!
//! ```text
//! class! {
//!     queue Queue = 50;                      // the module, the variant of `crate::Method`, the id
//!     Bind = 20 "bind" {                     // the method, its id, its name; `content` before `{` if it has one
//!         [u16]                              // reserved fields before the others: skipped, and written as 0
//!         queue: ShortStr,
//!         no_wait: bool,                     // consecutive bits share an octet
//!         (ShortStr, bool)                   // reserved fields behind the others
//!     }
//! }
//! ```

use crate::error::Error;
use crate::primitives::{Reader, Writer};

/// A method as a struct of its fields.
pub trait ClassMethod: Sized {
    const CLASS_ID: u16;
    const METHOD_ID: u16;
    /// As `queue.bind`.
    const NAME: &'static str;
    /// Whether a content header and a body follow.
    const HAS_CONTENT: bool;

    /// # Errors
    /// A field ends behind the frame, or has a value that it may not have.
    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, Error>;

    fn write_fields(&self, writer: &mut Writer<'_>);
}

macro_rules! class {
    (
        $class:ident $variant:ident = $class_id:literal;
        $(
            $(#[$meta:meta])*
            $method:ident = $method_id:literal $name:literal $($content:ident)? {
                $([$($before:ty),*])?
                $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
                $(($($after:ty),*))?
            }
        )*
    ) => {
        pub const CLASS_ID: u16 = $class_id;

        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Default, PartialEq, Eq)]
            pub struct $method {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl $crate::class::ClassMethod for $method {
                const CLASS_ID: u16 = $class_id;
                const METHOD_ID: u16 = $method_id;
                const NAME: &'static str = concat!(stringify!($class), ".", $name);
                const HAS_CONTENT: bool = $crate::class::has_content!($($content)?);

                #[allow(unused_variables, reason = "a method without fields")]
                #[inline]
                fn read_fields(
                    reader: &mut $crate::primitives::Reader<'_>,
                ) -> Result<Self, $crate::error::Error> {
                    $($(<$before as $crate::primitives::Field>::read(reader)?;)*)?
                    $(
                        let $field = <$type as $crate::primitives::Field>::read(reader)
                            .map_err(|error| error.at(concat!(stringify!($class), ".", $name, ".", stringify!($field))))?;
                    )*
                    $($(<$after as $crate::primitives::Field>::read(reader)?;)*)?
                    Ok(Self { $($field,)* })
                }

                #[allow(unused_variables, reason = "a method without fields")]
                #[inline]
                fn write_fields(&self, writer: &mut $crate::primitives::Writer<'_>) {
                    $($($crate::primitives::Field::write(&<$before>::default(), writer);)*)?
                    $($crate::primitives::Field::write(&self.$field, writer);)*
                    $($($crate::primitives::Field::write(&<$after>::default(), writer);)*)?
                }
            }

            impl From<$method> for Method {
                fn from(method: $method) -> Method {
                    Method::$method(method)
                }
            }

            impl From<$method> for $crate::method::Method {
                fn from(method: $method) -> $crate::method::Method {
                    $crate::method::Method::$variant(method.into())
                }
            }

            #[cfg(test)]
            impl $crate::arbitrary::Arbitrary for $method {
                #[allow(unused_variables, reason = "a method without fields")]
                fn arbitrary(entropy: &mut $crate::arbitrary::Entropy) -> Self {
                    Self { $($field: $crate::arbitrary::Arbitrary::arbitrary(entropy),)* }
                }
            }
        )*

        /// A method of this class.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Method {
            $($method($method),)*
        }

        impl Method {
            pub fn id(&self) -> u16 {
                match self {
                    $(Method::$method(_) => $method_id,)*
                }
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $(Method::$method(_) => <$method as $crate::class::ClassMethod>::NAME,)*
                }
            }

            /// Whether a content header and a body follow.
            pub fn has_content(&self) -> bool {
                match self {
                    $(Method::$method(_) => <$method as $crate::class::ClassMethod>::HAS_CONTENT,)*
                }
            }

            pub(crate) fn read(
                method_id: u16,
                reader: &mut $crate::primitives::Reader<'_>,
            ) -> Result<Method, $crate::error::Error> {
                match method_id {
                    $($method_id => {
                        reader.require_utf8(!<$method as $crate::class::ClassMethod>::HAS_CONTENT);
                        <$method as $crate::class::ClassMethod>::read_fields(reader).map(Method::$method)
                    })*
                    method_id => Err($crate::error::Error::UnknownMethod { class_id: $class_id, method_id }),
                }
            }

            pub(crate) fn write_fields(&self, writer: &mut $crate::primitives::Writer<'_>) {
                match self {
                    $(Method::$method(method) => $crate::class::ClassMethod::write_fields(method, writer),)*
                }
            }

            #[cfg(test)]
            pub(crate) fn arbitrary_of_all(entropy: &mut $crate::arbitrary::Entropy) -> Vec<$crate::method::Method> {
                vec![$(<$method as $crate::arbitrary::Arbitrary>::arbitrary(entropy).into(),)*]
            }
        }
    };
}

macro_rules! has_content {
    () => {
        false
    };
    (content) => {
        true
    };
}

pub(crate) use {class, has_content};
