/* Turns our PEM into a reference to a key: the only form of `key` that node:tls takes is PEM. */
#include "signer.h"
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <stdio.h>
#include <string.h>

#define PEM_BEGIN "-----BEGIN LATEBIND TLS KEY-----\n"

static void *new_context(void *provctx) { return provctx; }

static void free_context(void *ctx) { (void)ctx; }

/* Rule, provider-decoder(7) "Subset selections". We have private keys to give and nothing else; 0 asks for anything. */
static int does_selection(void *provctx, int selection) {
  (void)provctx;
  return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* Reads the id out of our PEM; 0 when the text is something else. */
static int read_id(const ProviderContext *provider, OSSL_CORE_BIO *in, char id[KEY_ID_SIZE]) {
  char text[sizeof PEM_BEGIN + KEY_ID_SIZE];
  size_t size = 0;
  if (!provider->read_bio(in, text, sizeof text - 1, &size)) return 0;
  text[size] = '\0';
  return sscanf(text, PEM_BEGIN "%16[0-9a-f]", id) == 1;
}

/*
 * Rule, provider-object(7): an object goes to the core as its type, the name of its kind, and a reference: bytes that
 * keymgmt's `load` understands, here a pointer. `load` is called before `give` returns and takes a hold of its own.
 */
static int give_reference(SignerKey *key, const char *kind, OSSL_CALLBACK *give, void *give_arg) {
  int type = OSSL_OBJECT_PKEY;
  OSSL_PARAM object[] = {
    OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
    OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)kind, 0),
    OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof key),
    OSSL_PARAM_construct_end(),
  };
  int given = give(object, give_arg);
  registry_release(key);
  return given;
}

/* Rule, provider-decoder(7) "Decoding functions": 1 without a call of `give` means "not mine, ask the next decoder". */
static int decode(void *ctx, OSSL_CORE_BIO *in, const char *kind, OSSL_CALLBACK *give, void *give_arg) {
  char id[KEY_ID_SIZE];
  if (!read_id(ctx, in, id)) return 1;
  SignerKey *key = registry_hold_by_id(id);
  if (key == NULL) return 1;
  if (EVP_PKEY_is_a(key->public_key, kind)) return give_reference(key, kind, give, give_arg);
  registry_release(key);
  return 1;
}

static int decode_rsa(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *give, void *give_arg,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg) {
  (void)selection, (void)ask, (void)ask_arg;
  return decode(ctx, in, "RSA", give, give_arg);
}

static int decode_ec(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *give, void *give_arg,
                     OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg) {
  (void)selection, (void)ask, (void)ask_arg;
  return decode(ctx, in, "EC", give, give_arg);
}

#define DECODER_FUNCTIONS(function)                                                                       \
  ENTRY(OSSL_FUNC_DECODER_NEWCTX, new_context), ENTRY(OSSL_FUNC_DECODER_FREECTX, free_context),           \
  ENTRY(OSSL_FUNC_DECODER_DOES_SELECTION, does_selection), ENTRY(OSSL_FUNC_DECODER_DECODE, function),     \
  ENTRY_END

static const OSSL_DISPATCH rsa_functions[] = { DECODER_FUNCTIONS(decode_rsa) };
static const OSSL_DISPATCH ec_functions[] = { DECODER_FUNCTIONS(decode_ec) };

/* Rule, provider-decoder(7) "Names and properties": named after what comes out; `input` is mandatory. */
const OSSL_ALGORITHM decoder_algorithms[] = {
  { RSA_NAMES, PROVIDER_PROPERTY ",input=pem", rsa_functions, "key held by JavaScript" },
  { EC_NAMES, PROVIDER_PROPERTY ",input=pem", ec_functions, "key held by JavaScript" },
  { NULL, NULL, NULL, NULL },
};
