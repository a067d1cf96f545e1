/// Each code with its name in texts and whether it ends the connection. Source: the specification, section 1.2.
macro_rules! reply_codes {
    ($($name:ident = $code:literal $text:literal $hard:literal,)*) => {
        /// Why a channel or a connection is closed, or a message is returned.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ReplyCode {
            $($name = $code,)*
        }

        impl ReplyCode {
            pub const ALL: &'static [ReplyCode] = &[$(ReplyCode::$name,)*];

            pub fn code(self) -> u16 {
                self as u16
            }

            pub fn of(code: u16) -> Option<ReplyCode> {
                match code {
                    $($code => Some(ReplyCode::$name),)*
                    _ => None,
                }
            }

            /// How reply texts begin, as `NOT_FOUND`.
            pub fn text(self) -> &'static str {
                match self {
                    $(ReplyCode::$name => $text,)*
                }
            }

            /// Whether the connection ends, and not only the channel.
            pub fn is_hard(self) -> bool {
                match self {
                    $(ReplyCode::$name => $hard,)*
                }
            }
        }
    };
}

reply_codes! {
    ReplySuccess = 200 "REPLY_SUCCESS" false,
    ContentTooLarge = 311 "CONTENT_TOO_LARGE" false,
    NoRoute = 312 "NO_ROUTE" false,
    NoConsumers = 313 "NO_CONSUMERS" false,
    ConnectionForced = 320 "CONNECTION_FORCED" true,
    InvalidPath = 402 "INVALID_PATH" true,
    AccessRefused = 403 "ACCESS_REFUSED" false,
    NotFound = 404 "NOT_FOUND" false,
    ResourceLocked = 405 "RESOURCE_LOCKED" false,
    PreconditionFailed = 406 "PRECONDITION_FAILED" false,
    FrameError = 501 "FRAME_ERROR" true,
    SyntaxError = 502 "SYNTAX_ERROR" true,
    CommandInvalid = 503 "COMMAND_INVALID" true,
    ChannelError = 504 "CHANNEL_ERROR" true,
    UnexpectedFrame = 505 "UNEXPECTED_FRAME" true,
    ResourceError = 506 "RESOURCE_ERROR" true,
    NotAllowed = 530 "NOT_ALLOWED" true,
    NotImplemented = 540 "NOT_IMPLEMENTED" true,
    InternalError = 541 "INTERNAL_ERROR" true,
}
