//! What a password is kept as: argon2id for those who send it, and the keys of SCRAM (RFC 5802) for those who prove that they have
//! it, made together, so that a user can log in either way.

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

pub(crate) const SALT_BYTES: usize = 16;
pub(crate) const HASH_BYTES: usize = 32;
/// The salt before an imported digest.
const IMPORTED_SALT_BYTES: usize = 4;
/// The most that clients accept, and the most that a stolen store can be made to cost.
const SCRAM_ITERATIONS: u32 = 16_384;

/// The recommendation of OWASP: 19 MiB and two passes.
pub(crate) const COST: Cost = Cost {
    memory_kib: Params::DEFAULT_M_COST,
    passes: Params::DEFAULT_T_COST,
    lanes: Params::DEFAULT_P_COST,
};

/// Bounds of what a record may ask of this process, far above what any version has written.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;

/// How a user proves to be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Not by password.
    None,
    /// The name is the password, as it is for the default user until somebody changes that.
    Name,
    Password(Box<Password>),
    /// From the definitions of another broker: a salt of four bytes and the digest of salt and password. It is replaced by
    /// [`Credentials::Password`] when the user logs in.
    Imported(Imported),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password {
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) cost: Cost,
    pub(crate) hash: [u8; HASH_BYTES],
    pub(crate) sha256: Scram<32>,
    pub(crate) sha512: Scram<64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Scram<const N: usize> {
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) iterations: u32,
    pub(crate) stored_key: [u8; N],
    pub(crate) server_key: [u8; N],
}

/// A digest that another broker made of a password, with its salt before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    pub(crate) digest: ImportedDigest,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedDigest {
    Sha256,
    Sha512,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Imported {
    /// None if these are not a salt and a digest of this kind.
    pub fn new(digest: ImportedDigest, bytes: &[u8]) -> Option<Imported> {
        let digest_bytes = match digest {
            ImportedDigest::Sha256 => 32,
            ImportedDigest::Sha512 => 64,
        };
        (bytes.len() == IMPORTED_SALT_BYTES + digest_bytes).then(|| Imported {
            digest,
            bytes: bytes.to_vec(),
        })
    }

    fn is_of(&self, password: &[u8]) -> bool {
        let (salt, expected) = self.bytes.split_at(IMPORTED_SALT_BYTES);
        match self.digest {
            ImportedDigest::Sha256 => is_same(
                &Sha256::new().chain_update(salt).chain_update(password).finalize(),
                expected,
            ),
            ImportedDigest::Sha512 => is_same(
                &Sha512::new().chain_update(salt).chain_update(password).finalize(),
                expected,
            ),
        }
    }
}

impl Cost {
    /// None where a record asks for more than this process does for anybody, or for what is impossible.
    pub(crate) fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Cost> {
        let is_bounded = memory_kib <= MEMORY_KIB_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX;
        let cost = Cost {
            memory_kib,
            passes,
            lanes,
        };
        (is_bounded && cost.params().is_some()).then_some(cost)
    }

    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).ok()
    }
}

impl Password {
    /// Takes tens of milliseconds. The salts are random.
    pub(crate) fn new(password: &[u8], salts: [[u8; SALT_BYTES]; 3]) -> Password {
        let [salt, sha256_salt, sha512_salt] = salts;
        Password {
            salt,
            cost: COST,
            hash: argon2id(password, &salt, COST).unwrap_or_default(),
            sha256: Scram::sha256(password, sha256_salt, SCRAM_ITERATIONS),
            sha512: Scram::sha512(password, sha512_salt, SCRAM_ITERATIONS),
        }
    }

    /// Takes tens of milliseconds.
    fn is_of(&self, password: &[u8]) -> bool {
        argon2id(password, &self.salt, self.cost).is_some_and(|hash| is_same(&hash, &self.hash))
    }
}

impl Credentials {
    /// Whether this is the password. Takes as long whatever the credentials are, also if there are none.
    pub(crate) fn is_of(&self, name: &str, password: &[u8]) -> bool {
        let is_right = match self {
            Credentials::Password(stored) => return stored.is_of(password),
            Credentials::None => false,
            Credentials::Name => is_same(name.as_bytes(), password),
            Credentials::Imported(imported) => imported.is_of(password),
        };
        work_in_vain(password);
        is_right
    }
}

/// What checking a password costs, where there is none to check.
pub(crate) fn work_in_vain(password: &[u8]) {
    std::hint::black_box(argon2id(password, &[0; SALT_BYTES], COST));
}

/// None if the parameters are impossible, which those that were read or set here are not.
fn argon2id(password: &[u8], salt: &[u8; SALT_BYTES], cost: Cost) -> Option<[u8; HASH_BYTES]> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
    let mut hash = [0; HASH_BYTES];
    argon2.hash_password_into(password, salt, &mut hash).ok()?;
    Some(hash)
}

impl Scram<32> {
    pub(crate) fn sha256(password: &[u8], salt: [u8; SALT_BYTES], iterations: u32) -> Scram<32> {
        let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, &salt, iterations);
        let sign = |text: &[u8]| -> [u8; 32] {
            keyed::<Hmac<Sha256>>(&salted)
                .chain_update(text)
                .finalize()
                .into_bytes()
                .into()
        };
        Scram {
            salt,
            iterations,
            stored_key: Sha256::digest(sign(b"Client Key")).into(),
            server_key: sign(b"Server Key"),
        }
    }
}

impl Scram<64> {
    pub(crate) fn sha512(password: &[u8], salt: [u8; SALT_BYTES], iterations: u32) -> Scram<64> {
        let salted: [u8; 64] = pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, &salt, iterations);
        let sign = |text: &[u8]| -> [u8; 64] {
            keyed::<Hmac<Sha512>>(&salted)
                .chain_update(text)
                .finalize()
                .into_bytes()
                .into()
        };
        Scram {
            salt,
            iterations,
            stored_key: Sha512::digest(sign(b"Client Key")).into(),
            server_key: sign(b"Server Key"),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// In a time that tells nothing about where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a
        .iter()
        .zip(b)
        .fold(0, |differences, (a, b)| differences | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests;
