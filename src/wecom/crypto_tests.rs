use data_encoding::HEXLOWER;
use proptest::prelude::*;
use rstest::rstest;
use sha2::Sha256;

use super::*;

const CORP: &str = "ww00000000000000aa";

fn keys(token: &str, aes_key: &str, receive_id: &str) -> CallbackKeys {
    CallbackKeys::new(&SecretString::from(token), &SecretString::from(aes_key), receive_id).unwrap()
}

/// AES key 00..1f, as the deterministic vectors use it.
fn sample_keys(receive_id: &str) -> CallbackKeys {
    keys("SampleToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", receive_id)
}

/// Signs what it opens, so that only what lies behind the signature is tried.
fn open_signed(keys: &CallbackKeys, encrypted: &str) -> Result<Vec<u8>, Forged> {
    keys.open(&keys.sign("1", "2", encrypted), "1", "2", encrypted)
}

/// Encrypts a plaintext as it stands, padding included.
fn encrypt_as_is(keys: &CallbackKeys, plain: &[u8]) -> String {
    let mut buffer = plain.to_vec();
    let (blocks, rest) = Block::<Aes256Enc>::slice_as_chunks_mut(&mut buffer);
    assert!(rest.is_empty(), "a plaintext of whole blocks");
    cbc::Encryptor::inner_iv_init(&keys.encrypt, &Array::from(keys.iv)).encrypt_blocks(blocks);
    STANDARD.encode(&buffer)
}

/// `random`, the length field, the message and the receiveid, padded.
fn plaintext(length: u32, message: &[u8], receive_id: &[u8]) -> Vec<u8> {
    let mut plain = [b"0123456789abcdef".as_slice(), &length.to_be_bytes(), message, receive_id].concat();
    let padding = PADDED_TO - plain.len() % PADDED_TO;
    plain.resize(plain.len() + padding, u8::try_from(padding).unwrap());
    plain
}

struct Published {
    token: &'static str,
    aes_key: &'static str,
    aes_key_hex: &'static str,
    timestamp: &'static str,
    nonce: &'static str,
    encrypted: &'static str,
    signature: &'static str,
    receive_id: &'static str,
}

/// The worked example of WeCom documents 90968 and 91144; its key is not canonical base64.
const OFFICIAL: Published = Published {
    token: "QDG6eK",
    aes_key: "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
    aes_key_hex: "8d69989bbaabe67328014c194631ad0719b3dca035b64023df292447aab60760",
    timestamp: "1409659813",
    nonce: "1372623149",
    encrypted: "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q==",
    signature: "477715d11cdb4164915debcba66cb864d751f3e6",
    receive_id: "wx5823bf96d3bd56c7",
};

/// A URL verification, published with go-workwx.
const VERIFICATION: Published = Published {
    token: "kjr2TKI8umCBfVF3wAHk8JiPwma5VBme",
    aes_key: "4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws",
    aes_key_hex: "e0c6b7601ad205b5f669ecfc309a571819dee4b483c201aa1db84cf563d8230b",
    timestamp: "1583940690",
    nonce: "VHh7ymSeb0jc4lSb",
    encrypted: "6KmUQuPVu7UhjyVqRdbo5SfcRqaHvbUlKSHFvBV2ZuR6TIlKsygcfeSd1GDplg1C5KSKr6UPHCaC/nIX3ZNt9w==",
    signature: "1ba3cb09c0d2c2b3ed6900d37f91a6efae6cb011",
    receive_id: "ww6a112864f8022910",
};

/// A message with random bytes that are no UTF-8 and a key that is not canonical base64, published with go-workwx.
const BINARY_RANDOM: Published = Published {
    token: "kz7Yx62CH8SaLN",
    aes_key: "cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEP",
    aes_key_hex: "703d1dee3c78b58bd5b73aab9a1dc39b74050977ba7fc4a51e832d321dea4043",
    timestamp: "1583995625",
    nonce: "1584392382",
    encrypted: "EUCt7xMcNiyASzZj0Hjc5yDjFQrCum6AfQ3ntHiUzjGQ51xieKmbvtrZ40/EcB2W/W8yH0n4Lqx48gJl/T9HD/R309I0P/r5pIZucK3lyEn48FYMr4YdE0QdL2jIJ3xkcXUr6uzefzCxG6lMvwpAJaOyVCzN7sRRw47njfxy5EIqU6R9ZBhlTzfdnhhOhK/nTwzrZX3SoGlXFA9OBeZ6ru1NWpXFk76x9DUMe0lcxPPiUqK8ctnQcYXSGUHVqC6DfG7E7mab0OmruNN8cBZY5d3dYOBA4OgaH55Q0AJmUpdT8vNiXpXx+6TxT3TIjySXpDrHVyrsb772aYywgg/Nu4kUmGkALwFZlzhjNegR7wDwb9lr4ERXsSSS8JZ8lbBmaQ3F2Tq584xoPj5rIhXAF734ynm4no1g+SdHiNqR328=",
    signature: "f265ae551b1932727204c3d707628d01376a6940",
    receive_id: "ww6a112864f8022910",
};

impl Published {
    fn keys(&self) -> CallbackKeys {
        keys(self.token, self.aes_key, self.receive_id)
    }

    fn open(&self) -> Result<Vec<u8>, Forged> {
        self.keys().open(self.signature, self.timestamp, self.nonce, self.encrypted)
    }

    /// What the ciphertext holds, decrypted here step by step: random bytes, message length, padding.
    fn raw(&self) -> (Vec<u8>, u32, u8) {
        let keys = self.keys();
        let mut buffer = STANDARD.decode(self.encrypted).unwrap();
        let (blocks, _) = Block::<Aes256Dec>::slice_as_chunks_mut(&mut buffer);
        cbc::Decryptor::inner_iv_init(&keys.decrypt, &Array::from(keys.iv)).decrypt_blocks(blocks);
        let length = u32::from_be_bytes(buffer[16..20].try_into().unwrap());
        (buffer[..16].to_vec(), length, *buffer.last().unwrap())
    }
}

#[rstest]
#[case::official(&OFFICIAL)]
#[case::verification(&VERIFICATION)]
#[case::binary_random(&BINARY_RANDOM)]
fn published_keys_and_signatures_are_reproduced(#[case] vector: &Published) {
    let keys = vector.keys();
    assert!(vector.aes_key_hex.starts_with(&HEXLOWER.encode(&keys.iv)));
    // The schedule is not readable, so what it encrypts is compared with what the published key encrypts.
    let key = <[u8; 32]>::try_from(HEXLOWER.decode(vector.aes_key_hex.as_bytes()).unwrap()).unwrap();
    let mut blocks = [Array::from([7; 16])];
    cbc::Encryptor::inner_iv_init(Aes256Enc::new(&Array::from(key)), &Array::from(keys.iv)).encrypt_blocks(&mut blocks);
    assert_eq!(encrypt_as_is(&keys, &[7; 16]), STANDARD.encode(blocks[0]));
    assert_eq!(keys.sign(vector.timestamp, vector.nonce, vector.encrypted), vector.signature);
}

#[test]
fn the_official_example_opens() {
    let message = OFFICIAL.open().unwrap();
    assert_eq!(OFFICIAL.raw(), (b"0960688932c47ef1".to_vec(), 284, 30));
    assert_eq!(message.len(), 284);
    assert_eq!(
        HEXLOWER.encode(&Sha256::digest(&message)),
        "62f23e2db9188b2883215b599af3d8ffcaa3fae68770c8f84529cfc560683f32"
    );
}

#[test]
fn an_echo_wider_than_64_bits_comes_out_byte_for_byte() {
    assert_eq!(VERIFICATION.open().unwrap(), b"94966531020182955848408");
    assert_eq!(VERIFICATION.raw(), (b"5QMsYcwjR95t2vmC".to_vec(), 23, 3));
}

#[test]
fn random_bytes_that_are_no_text_do_no_harm() {
    let message = String::from_utf8(BINARY_RANDOM.open().unwrap()).unwrap();
    let (random, length, padding) = BINARY_RANDOM.raw();
    assert!(String::from_utf8(random).is_err());
    assert_eq!((length, padding), (269, 13));
    for part in ["x123", "2018405441", "1000002", "foobar"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[rstest]
#[case::echo(
    "3344556677889900",
    CORP,
    "4j/AuRx71kQlxVlzbpsMWKAdaKvWTmrDVZEJ1XZ4zWSgJ1zivSKJwaWYnBNmXaLHXpWeSvRJNkF/QqiGA2enJA==",
    "1c25c75b62d75fda8efd9d4bbf24e196f8c25121"
)]
#[case::empty_receiveid(
    r#"{"msgtype":"text"}"#,
    "",
    "4j/AuRx71kQlxVlzbpsMWBISlvomC6YoH8j5nFCfw7DZ/Is91fYwteHV/AkIXJdXMKgFtYaSiO2hYFvak58dnw==",
    "39122d7b304059fee40db1c60e098b3fd4d62596"
)]
#[case::chinese_text(
    "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content></xml>",
    CORP,
    "4j/AuRx71kQlxVlzbpsMWO1biilYUzVyxGMQcnaA2vWyPFIlaFlsCcE0ggmSdheU2S4VE1n4OfFb1RDOg69ehJl+fLMjRMNyM4jr+ISWsmctS+dgUyvB8iVYqzk8xeIUCYKFJZZHV8MoIKyeKvi+k0ZtuprJiOo0gy1KyWbF4E8=",
    "4940a98268daff11d79dbbbde5db9eda0ec18c46"
)]
#[case::whole_block_of_padding(
    "xxxxxxxxxxxxxxxxxxxxxxxxxx",
    CORP,
    "4j/AuRx71kQlxVlzbpsMWLdwa700XSzOWDMkXDdU+WosU+ewEoBShSctEkjIMzDl9lj/nbrRz68s7XkazOsFt38Lm4eTapnaAqcAclVelWHTfIcBuue4DjRhwKaXf7GO",
    "821faea4ad171abf571583afafcab9fa525697e7"
)]
fn messages_are_sealed_signed_and_opened_as_wecom_does(
    #[case] message: &str,
    #[case] receive_id: &str,
    #[case] encrypted: &str,
    #[case] signature: &str,
) {
    let keys = sample_keys(receive_id);
    assert_eq!(keys.seal(message.as_bytes(), *b"0123456789abcdef"), encrypted);
    assert_eq!(keys.sign("1700000000", "nonce-xyz", encrypted), signature);
    assert_eq!(keys.open(signature, "1700000000", "nonce-xyz", encrypted).unwrap(), message.as_bytes());
}

#[rstest]
#[case::short("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2")]
#[case::long("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2Cx")]
#[case::padded("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2=")]
#[case::not_base64("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2*")]
#[case::not_ascii("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2键")]
#[case::empty("")]
fn a_key_that_is_not_43_characters_of_base64_is_refused(#[case] aes_key: &str) {
    let refused = CallbackKeys::new(&SecretString::from("T"), &SecretString::from(aes_key), CORP);
    let message = refused.err().expect("refused").to_string();
    assert!(aes_key.is_empty() || !message.contains(aes_key), "the key stands in {message:?}");
}

#[rstest]
#[case("cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEM")]
#[case("cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEN")]
#[case("cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEO")]
#[case("cD0d7jx4tYvVtzqrmh3Dm3QFCXe6f8SlHoMtMh3qQEP")]
fn keys_that_differ_in_surplus_bits_only_are_the_same_key(#[case] aes_key: &str) {
    let keys = keys(BINARY_RANDOM.token, aes_key, BINARY_RANDOM.receive_id);
    let opened =
        keys.open(BINARY_RANDOM.signature, BINARY_RANDOM.timestamp, BINARY_RANDOM.nonce, BINARY_RANDOM.encrypted);
    assert_eq!(opened, BINARY_RANDOM.open());
}

#[rstest]
#[case::signature("577715d11cdb4164915debcba66cb864d751f3e6", OFFICIAL.timestamp, OFFICIAL.nonce)]
#[case::upper_case("477715D11CDB4164915DEBCBA66CB864D751F3E6", OFFICIAL.timestamp, OFFICIAL.nonce)]
#[case::cut_off("477715d11cdb4164915debcba66cb864d751f3e", OFFICIAL.timestamp, OFFICIAL.nonce)]
#[case::empty("", OFFICIAL.timestamp, OFFICIAL.nonce)]
#[case::timestamp(OFFICIAL.signature, "1409659814", OFFICIAL.nonce)]
#[case::reprinted_timestamp(OFFICIAL.signature, "01409659813", OFFICIAL.nonce)]
#[case::nonce(OFFICIAL.signature, OFFICIAL.timestamp, "1372623148")]
fn a_signature_of_something_else_is_forged(#[case] signature: &str, #[case] timestamp: &str, #[case] nonce: &str) {
    assert_eq!(OFFICIAL.keys().open(signature, timestamp, nonce, OFFICIAL.encrypted), Err(Forged));
}

#[test]
fn what_is_wrong_inside_a_signed_callback_looks_like_any_other_forgery() {
    let keys = sample_keys(CORP);
    let good = plaintext(5, b"hello", CORP.as_bytes());
    assert_eq!(open_signed(&keys, &encrypt_as_is(&keys, &good)).unwrap(), b"hello");

    let with_end = |end: &[u8]| {
        let mut plain = good.clone();
        let from = plain.len() - end.len();
        plain[from..].copy_from_slice(end);
        encrypt_as_is(&keys, &plain)
    };
    let forged = [
        ("no padding", with_end(&[0])),
        ("padding above 32", with_end(&[33])),
        ("padding longer than the text", encrypt_as_is(&keys, &[32; 16])),
        ("padding that is not all alike", with_end(&[20, 21])),
        ("another receiveid", encrypt_as_is(&keys, &plaintext(5, b"hello", b"ww00000000000000ab"))),
        ("a longer receiveid", encrypt_as_is(&keys, &plaintext(5, b"hello", b"ww00000000000000aa1"))),
        ("no receiveid", encrypt_as_is(&keys, &plaintext(5, b"hello", b""))),
        ("a length beyond the text", encrypt_as_is(&keys, &plaintext(24, b"hello", CORP.as_bytes()))),
        ("the greatest length", encrypt_as_is(&keys, &plaintext(u32::MAX, b"hello", CORP.as_bytes()))),
        ("a length too short", encrypt_as_is(&keys, &plaintext(4, b"hello", CORP.as_bytes()))),
        ("no header", encrypt_as_is(&keys, &[16; 16])),
        ("nothing", String::new()),
        ("half a block", STANDARD.encode([0; 24])),
        ("no base64", "*".repeat(64)),
    ];
    for (what, encrypted) in forged {
        assert_eq!(open_signed(&keys, &encrypted), Err(Forged), "{what}");
    }
}

#[test]
fn a_callback_for_another_company_is_forged() {
    let theirs = sample_keys("ww00000000000000bb").seal(b"hello", [0; 16]);
    assert_eq!(open_signed(&sample_keys(CORP), &theirs), Err(Forged));
    let bot = sample_keys("").seal(b"hello", [0; 16]);
    assert_eq!(open_signed(&sample_keys(CORP), &bot), Err(Forged));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_again(
        message in prop::collection::vec(any::<u8>(), 0..600),
        random in any::<[u8; 16]>(),
        receive_id in "[a-z0-9]{0,40}",
        timestamp in "[0-9]{1,12}",
        nonce in "\\PC{0,20}",
    ) {
        let keys = sample_keys(&receive_id);
        let encrypted = keys.seal(&message, random);
        let signature = keys.sign(&timestamp, &nonce, &encrypted);
        prop_assert_eq!(keys.open(&signature, &timestamp, &nonce, &encrypted), Ok(message));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_forged(
        message in prop::collection::vec(any::<u8>(), 0..100),
        byte in any::<prop::sample::Index>(),
        bit in 0..7_u32,
    ) {
        let keys = sample_keys(CORP);
        let encrypted = keys.seal(&message, [3; 16]);
        let signature = keys.sign("1700000000", "n", &encrypted);
        let mut parts = [signature, "1700000000".to_owned(), "n".to_owned(), encrypted].map(String::into_bytes);
        let mut at = byte.index(parts.iter().map(Vec::len).sum());
        for part in &mut parts {
            if at < part.len() {
                part[at] ^= 1 << bit;
                break;
            }
            at -= part.len();
        }
        let [signature, timestamp, nonce, encrypted] = parts.map(|part| String::from_utf8(part).unwrap());
        prop_assert_eq!(keys.open(&signature, &timestamp, &nonce, &encrypted), Err(Forged));
    }

    #[test]
    fn no_signed_text_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert_eq!(open_signed(&sample_keys(CORP), &text), Err(Forged));
    }

    #[test]
    fn no_signed_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(open_signed(&sample_keys(CORP), &STANDARD.encode(bytes)), Err(Forged));
    }
}
