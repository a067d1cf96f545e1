//! The one macro of the crate: a message is written down as the protocol's schema writes it, and its reader and
//! writer follow from that.
//!
//! ```text
//! message! {
//!     pub struct Name {
//!         pub field: Type [versions] = default,             // in these versions; elsewhere it has the default
//!         pub field: Option<Type> [versions, null versions], // null in these versions only
//!     }
//!     tagged {                                               // of flexible versions; written unless the default
//!         0 => pub field: Type [versions] = default,
//!     }
//! }
//! ```
//!
//! A field that a version does not have is not written, whatever its value: a handler fills in what it knows and
//! need not know the version. Tagged fields that are not named here are skipped when read (KIP-482).

macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                pub $field:ident : $type:ty [$versions:expr $(, null $nullable:expr)?] $(= $default:expr)?,
            )*
        }
        $(tagged {
            $(
                $(#[$tagged_meta:meta])*
                $tag:literal => pub $tagged:ident : $tagged_type:ty
                    [$tagged_versions:expr] $(= $tagged_default:expr)?,
            )*
        })?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $($($(#[$tagged_meta])* pub $tagged: $tagged_type,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $crate::message::default_or!($($default)?),)*
                    $($($tagged: $crate::message::default_or!($($tagged_default)?),)*)?
                }
            }
        }

        #[cfg(test)]
        impl $crate::arbitrary::Arbitrary for $name {
            fn arbitrary(entropy: &mut $crate::arbitrary::Entropy) -> Self {
                Self {
                    $($field: $crate::arbitrary::Arbitrary::arbitrary(entropy),)*
                    $($($tagged: $crate::arbitrary::Arbitrary::arbitrary(entropy),)*)?
                }
            }
        }

        impl $crate::primitives::Wire for $name {
            #[allow(unused_variables, reason = "a struct without fields of some versions or without known tags")]
            #[inline]
            fn decode(
                reader: &mut $crate::primitives::Reader<'_>,
                version: i16,
            ) -> Result<Self, $crate::error::Error> {
                $(
                    let $field: $type = if std::ops::RangeBounds::<i16>::contains(&($versions), &version) {
                        let value = <$type as $crate::primitives::Wire>::decode(reader, version)
                            .map_err(|error| error.at(concat!(stringify!($name), ".", stringify!($field))))?;
                        $(
                            if $crate::primitives::Wire::is_null(&value)
                                && !std::ops::RangeBounds::<i16>::contains(&($nullable), &version)
                            {
                                return Err($crate::error::Error::Malformed {
                                    field: concat!(stringify!($name), ".", stringify!($field)),
                                    what: "null in version",
                                    value: i64::from(version),
                                });
                            }
                        )?
                        value
                    } else {
                        $crate::message::default_or!($($default)?)
                    };
                )*
                $($(
                    let mut $tagged: $tagged_type = $crate::message::default_or!($($tagged_default)?);
                )*)?
                reader.tagged_fields(|tag, reader| match tag {
                    $($(
                        $tag if std::ops::RangeBounds::<i16>::contains(&($tagged_versions), &version) => {
                            $tagged = <$tagged_type as $crate::primitives::Wire>::decode(reader, version)
                                .map_err(|error| error.at(concat!(stringify!($name), ".", stringify!($tagged))))?;
                            Ok(true)
                        }
                    )*)?
                    _ => Ok(false),
                }).map_err(|error| error.at(concat!(stringify!($name), " (tagged fields)")))?;
                Ok(Self { $($field,)* $($($tagged,)*)? })
            }

            #[allow(unused_variables, reason = "a struct without fields of some versions")]
            fn encode(&self, writer: &mut $crate::primitives::Writer<'_>, version: i16) {
                $(
                    if std::ops::RangeBounds::<i16>::contains(&($versions), &version) {
                        $(
                            if $crate::primitives::Wire::is_null(&self.$field)
                                && !std::ops::RangeBounds::<i16>::contains(&($nullable), &version)
                            {
                                writer.fail($crate::error::Error::Null { field: "" });
                            }
                        )?
                        $crate::primitives::Wire::encode(&self.$field, writer, version);
                        writer.at(concat!(stringify!($name), ".", stringify!($field)));
                    }
                )*
                if !writer.flexible() {
                    return;
                }
                let count = 0_u32;
                $($(
                    let $tagged = std::ops::RangeBounds::<i16>::contains(&($tagged_versions), &version) && {
                        let default: $tagged_type = $crate::message::default_or!($($tagged_default)?);
                        self.$tagged != default
                    };
                    let count = count.saturating_add(u32::from($tagged));
                )*)?
                writer.unsigned_varint(count);
                $($(
                    if $tagged {
                        writer.tagged_field($tag, |writer| {
                            $crate::primitives::Wire::encode(&self.$tagged, writer, version);
                            writer.at(concat!(stringify!($name), ".", stringify!($tagged)));
                        });
                    }
                )*)?
            }
        }
    };
}

macro_rules! default_or {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Lets a message be null: a byte says whether it is there (`-1` if not) before its fields.
macro_rules! nullable {
    ($name:ident) => {
        impl $crate::primitives::Wire for Option<$name> {
            fn decode(
                reader: &mut $crate::primitives::Reader<'_>,
                version: i16,
            ) -> Result<Self, $crate::error::Error> {
                match reader.i8()? {
                    ..0 => Ok(None),
                    _ => Ok(Some($crate::primitives::Wire::decode(reader, version)?)),
                }
            }

            fn encode(&self, writer: &mut $crate::primitives::Writer<'_>, version: i16) {
                match self {
                    Some(message) => {
                        writer.i8(1);
                        $crate::primitives::Wire::encode(message, writer, version);
                    }
                    None => writer.i8(-1),
                }
            }

            fn is_null(&self) -> bool {
                self.is_none()
            }
        }
    };
}

pub(crate) use {default_or, message, nullable};
