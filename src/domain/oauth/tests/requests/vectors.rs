//! Keys and signatures that were published as test vectors, and signatures that another
//! implementation (Python's `cryptography`) made with these keys. None of them guards anything.
//!
//! **Invariant:** no other key stands in this repository; tests that need one make it.

use super::*;

/// The RSA key of RFC 7515 A.2.1: n, e, d, p, q, dp, dq, qi.
const RFC7515_A2: [&str; 8] = [
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt\
     0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX\
     ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5\
     IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "AQAB",
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol\
     2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn43\
     9X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8\
     bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_\
     Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7Tje\
     LQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
    "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOK\
     nu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
    "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U\
     0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
    "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5\
     cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
];
/// The private and the public key of RFC 7515 A.3.1, on P-256: d, x, y.
pub(super) const RFC7515_A3: [&str; 3] = [
    "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
];
/// The private key of RFC 8037 A.1.
const RFC8037_A1: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// What RFC 7515 signs in A.1 to A.3.
pub(super) const RFC7515_PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
     cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// The secret of RFC 7515 A.1.
pub(super) const RFC7515_A1_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// The signature of RFC 7515 A.1.1, HS256.
pub(super) const RFC7515_A1: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The signature of RFC 7515 A.2.1, RS256.
pub(super) const RFC7515_A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W\
     2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS\
     jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv\
     Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// By Python, as all that follow: each of the assertion that its test spells out.
pub(super) const HS256: &str = "l-0phoCLgQrqYr4a8XNoViiByjfD6AmW5LQOBTfRahU";
pub(super) const HS384: &str = "zuXoPxrcVGwzaEQK8SyRvg3zZ4XL7MuUvVR26j_-9i_iuNCuVZ_sbOFY0kCfHdaa";
pub(super) const HS512: &str =
    "SE19Eaq0SsINP-pXF1XP9dJMPXNzMZ_1JTmfo9uE2QNWf6ER95Fjz-OCITl6Lp6CrJO7Wt_L7DxbcO9GTI2Hzg";
pub(super) const HS256_ISSUER: &str = "HsNaTE31MqeyOFoy4OohU1_Mz-4Gyq01IqwF7g0Saos";
pub(super) const RS256: &str = "lsilrNWclFaDJ9tSbPUG1CQFmMmdQRKvvoRMfXWnjYWAyscX3mw-2hoI_AZPTuF-mib3qxdUtWtfgt9ne5x4DaEO\
     BRrYmhveW9T8-B7-A2bRWyGtZnke6nA_ACfQsYqV53tgomNoXCar9jEcpe0V8AyRkCso_xWa0CA2QJFTmzXIzI9e\
     qZShpQjQYmFWBlLPo7XWKJSIcn_Fv-kdF5DSzK2qdXjuNEujNugqAWq6-u_gm7qn6OShD8YCIPYeXJQGsV-1qj0a\
     VaS4au5kGIr5y6t1s1tIvJLH90M003GHNfp1wifetAcvjD-oN0QGFJ8cZ4b3hXiPP4hQHmBYA7fVyQ";
pub(super) const RS256_KID: &str = "fDmkIFzVY_BJIPH73eFSe5yHmeSXYgTCRmtoBxmGTc61cNOPSLq-KmO7x2o-8bll74FRU7i5siVM_1HgPErwThNn\
     j99eGis-bz16UcYMMAvgCCAezam10fbwY56XXUykmqA5DUUBLuLMBOdIRgCJ4SjdypzwASq6-t3upuraOuvsKNQo\
     W9bP64kYARh5E5zK05fx41rrKCQVzZpI6TQV4N__FTVVi6LbVLaF4C6MEn831Xp41SY041WfFJRhzEKnP0fcSGmu\
     JsNMGb0tVObFDeU-rAl8k9CKowrvqrse2ZvQnppeEJ-J7hIOtB5SsnOguLjH5xEeUGm4eQAhroUtUQ";
pub(super) const EDDSA: &str =
    "TJUkOmtV8sG0CBPL-FyQ4udShsFm8xdAZkdBE_2TrNA93COQOr1sZ0SLZ1-yLqClEcBw0tDAqZ4WJF8BZFENBA";
pub(super) const EDDSA_ISSUER: &str =
    "r47aX5sLa0pZWa-TBRne5aPD1J3McbHGpplw7gthN_o-ZlACaVeXHdmRIYQtA089vVidCnigEbtP7F8kPj_sBA";
pub(super) const EDDSA_GIVEN: &str =
    "YRbkFw8q7H4suX-P_RTQDFd9lXInTxw02X7V6YAC-cDRkRZPjOi65LTstf-_0LpGDx0DzFhvDZvR6NJ0LtFeCw";
/// RFC 8037 A.4.
pub(super) const RFC8037_A4: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/// One element of DER (X.690).
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, u8::try_from(length).unwrap()],
        0x80..0x100 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [&head, content].concat()
}

/// A positive INTEGER.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    der(2, &[&[0][usize::from(bytes[0] < 0x80)..], bytes].concat())
}

pub(super) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// One section (RFC 7468 §2).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// `RSAPrivateKey` (RFC 8017 A.1.2) of RFC 7515 A.2.
pub(super) fn rsa_pkcs1() -> Vec<u8> {
    let numbers = RFC7515_A2.map(|number| integer(&from_base64url(number))).concat();
    der(0x30, &[integer(&[0]), numbers].concat())
}

/// Modulus and exponent of RFC 7515 A.2.
pub(super) fn rsa_public() -> (&'static str, &'static str) {
    (RFC7515_A2[0], RFC7515_A2[1])
}

/// `PrivateKeyInfo` (RFC 5958) of RFC 8037 A.1, version 0.
pub(super) fn ed25519_pkcs8() -> Vec<u8> {
    let key = der(4, &der(4, &from_base64url(RFC8037_A1)));
    let algorithm = der(0x30, &der(6, &[0x2b, 0x65, 0x70]));
    der(0x30, &[integer(&[0]), algorithm, key].concat())
}
