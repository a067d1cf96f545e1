use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

#[test]
fn a_password_is_known_again_and_another_is_not() {
    let stored = Password::new(b"correct horse", [[1; 16], [2; 16], [3; 16]]);
    assert!(stored.is_of(b"correct horse"));
    assert!(!stored.is_of(b"correct hors"));
    assert!(!stored.is_of(b""));
    assert_ne!(stored.hash, [0; HASH_BYTES]);
    let other_salt = Password::new(b"correct horse", [[4; 16], [2; 16], [3; 16]]);
    assert_ne!(stored.hash, other_salt.hash);
}

/// From the example of RFC 7677, section 3: the client's proof and the server's signature follow from these keys.
#[test]
fn keys_of_scram_are_those_of_the_specification() {
    let salt: [u8; 16] = decoded("W22ZaJ0SNY7soEsUEjb6gQ==").try_into().unwrap();
    let scram = Scram::sha256(b"pencil", salt, 4096);
    let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let signed = |key: &[u8]| -> [u8; 32] {
        keyed::<Hmac<Sha256>>(key)
            .chain_update(message)
            .finalize()
            .into_bytes()
            .into()
    };
    assert_eq!(
        signed(&scram.server_key).to_vec(),
        decoded("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    );
    let proof = decoded("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let client_key: Vec<u8> = proof
        .iter()
        .zip(signed(&scram.stored_key))
        .map(|(a, b)| a ^ b)
        .collect();
    assert_eq!(Sha256::digest(client_key).to_vec(), scram.stored_key);
}

/// Made by RabbitMQ 3.10.8 for the user guest.
#[test]
fn a_digest_of_another_broker_is_known_again() {
    let bytes = decoded("j/+6v3ZRlSKXqy4NWdvCvuy6MgvC2X1X4kPXHsidIO0AVcJr");
    let imported = Imported::new(ImportedDigest::Sha256, &bytes).unwrap();
    assert!(imported.is_of(b"guest"));
    assert!(!imported.is_of(b"Guest"));
    assert_eq!(Imported::new(ImportedDigest::Sha512, &bytes), None);
    assert_eq!(Imported::new(ImportedDigest::Sha256, &bytes[1..]), None);
}

#[test]
fn costs_are_bounded() {
    assert_eq!(Cost::new(COST.memory_kib, COST.passes, COST.lanes), Some(COST));
    assert_eq!(Cost::new(MEMORY_KIB_MAX + 1, 2, 1), None);
    assert_eq!(Cost::new(COST.memory_kib, PASSES_MAX + 1, 1), None);
    assert_eq!(Cost::new(COST.memory_kib, 2, LANES_MAX + 1), None);
    assert_eq!(Cost::new(0, 2, 1), None);
}
