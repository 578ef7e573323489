/* What OpenSSL may know of a key. Every answer comes from the public key, so there is nothing else to give away. */
#include "signer.h"
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

/* The reference is what decoder.c made: a pointer to a key. */
static void *load(const void *reference, size_t size) {
  SignerKey *key;
  if (size != sizeof key) return NULL;
  memcpy(&key, reference, sizeof key);
  return registry_hold(key);
}

static void release(void *key) { registry_release(key); }

/* Both halves are there as far as libssl needs to know: the private one can be used, if not seen. */
static int has(const void *key, int selection) {
  (void)selection;
  return key != NULL;
}

static int match(const void *one, const void *other, int selection) {
  const EVP_PKEY *a = ((const SignerKey *)one)->public_key, *b = ((const SignerKey *)other)->public_key;
  if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0) return EVP_PKEY_parameters_eq(a, b) == 1;
  return EVP_PKEY_eq(a, b) == 1;
}

static int get_params(void *key, OSSL_PARAM params[]) {
  return EVP_PKEY_get_params(((SignerKey *)key)->public_key, params);
}

static const OSSL_PARAM *gettable_params(void *provctx) {
  static const OSSL_PARAM params[] = {
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_END,
  };
  (void)provctx;
  return params;
}

/*
 * Rule, provider-keymgmt(7): export hands over exactly what is selected. OpenSSL exports a key to move an operation to
 * another provider's implementation, and asks for the private half too when it is to sign; refusing that is what keeps
 * the signature here. The public half is exported freely: libssl compares it with the certificate's.
 */
static int export_public(void *key, int selection, OSSL_CALLBACK *give, void *give_arg) {
  OSSL_PARAM *params = NULL;
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0) return 0;
  if (!EVP_PKEY_todata(((SignerKey *)key)->public_key, selection, &params)) return 0;
  int given = give(params, give_arg);
  OSSL_PARAM_free(params);
  return given;
}

static const OSSL_PARAM *export_types(int selection) {
  static const OSSL_PARAM params[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
  };
  return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : params;
}

/* Rule, provider-keymgmt(7): without an answer OpenSSL would look for a signature algorithm called "EC". */
static const char *ec_operation(int operation) { return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL; }

static const char *rsa_operation(int operation) { return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL; }

#define KEYMGMT_FUNCTIONS(operation_name)                                                                   \
  ENTRY(OSSL_FUNC_KEYMGMT_LOAD, load), ENTRY(OSSL_FUNC_KEYMGMT_FREE, release),                              \
  ENTRY(OSSL_FUNC_KEYMGMT_HAS, has), ENTRY(OSSL_FUNC_KEYMGMT_MATCH, match),                                 \
  ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_params), ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_params), \
  ENTRY(OSSL_FUNC_KEYMGMT_EXPORT, export_public), ENTRY(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, export_types),      \
  ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name), ENTRY_END

static const OSSL_DISPATCH rsa_functions[] = { KEYMGMT_FUNCTIONS(rsa_operation) };
static const OSSL_DISPATCH ec_functions[] = { KEYMGMT_FUNCTIONS(ec_operation) };

const OSSL_ALGORITHM keymgmt_algorithms[] = {
  { RSA_NAMES, PROVIDER_PROPERTY, rsa_functions, "key held by JavaScript" },
  { EC_NAMES, PROVIDER_PROPERTY, ec_functions, "key held by JavaScript" },
  { NULL, NULL, NULL, NULL },
};
