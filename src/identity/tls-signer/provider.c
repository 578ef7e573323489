/* What OpenSSL is offered. */
#include "signer.h"
#include <stdarg.h>

#define REASON_SIGNER_REFUSED 1

static const OSSL_ALGORITHM *offer(void *provctx, int operation, int *no_cache) {
  (void)provctx;
  *no_cache = 0;
  switch (operation) {
    case OSSL_OP_KEYMGMT: return keymgmt_algorithms;
    case OSSL_OP_SIGNATURE: return signature_algorithms;
    case OSSL_OP_DECODER: return decoder_algorithms;
    default: return NULL;
  }
}

/* Node makes `code: "ERR_SSL_SIGNER_REFUSED"` of this reason. */
static const OSSL_ITEM *reasons(void *provctx) {
  static const OSSL_ITEM strings[] = { { REASON_SIGNER_REFUSED, "signer refused" }, { 0, NULL } };
  (void)provctx;
  return strings;
}

static void tear_down(void *provctx) { OPENSSL_free(provctx); }

static const OSSL_DISPATCH provider_functions[] = {
  ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, offer),
  ENTRY(OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, reasons),
  ENTRY(OSSL_FUNC_PROVIDER_TEARDOWN, tear_down),
  ENTRY_END,
};

static void note_upcall(ProviderContext *provider, const OSSL_DISPATCH *upcall) {
  switch (upcall->function_id) {
    case OSSL_FUNC_BIO_READ_EX: provider->read_bio = OSSL_FUNC_BIO_read_ex(upcall); break;
    case OSSL_FUNC_CORE_NEW_ERROR: provider->new_error = OSSL_FUNC_core_new_error(upcall); break;
    case OSSL_FUNC_CORE_VSET_ERROR: provider->set_error = OSSL_FUNC_core_vset_error(upcall); break;
    default: break;
  }
}

/* Rule, provider(7): the core hands its upcalls in, and gets a table of functions and a context of ours back. */
int provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *upcalls, const OSSL_DISPATCH **functions,
                  void **provctx) {
  ProviderContext *provider = OPENSSL_zalloc(sizeof *provider);
  if (provider == NULL) return 0;
  provider->core = core;
  for (; upcalls->function_id != 0; upcalls++) note_upcall(provider, upcalls);
  if (provider->read_bio == NULL || provider->new_error == NULL || provider->set_error == NULL) {
    OPENSSL_free(provider);
    return 0;
  }
  *functions = provider_functions;
  *provctx = provider;
  return 1;
}

static void set_error(const ProviderContext *provider, const char *format, ...) {
  va_list values;
  va_start(values, format);
  provider->set_error(provider->core, REASON_SIGNER_REFUSED, format, values);
  va_end(values);
}

/* Puts `why` on this thread's error queue and returns 0. Rule, provider-base(7): a record is begun, then filled. */
int refuse(const ProviderContext *provider, const char *why) {
  provider->new_error(provider->core);
  set_error(provider, "%s", why);
  return 0;
}
