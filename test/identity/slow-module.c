/* A PKCS#11 module whose device takes two seconds to answer, and then fails. Only what the agent calls first is there. */
#define CK_PTR *
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#define NULL_PTR 0
#include <pkcs11.h>
#include <unistd.h>

static CK_RV succeed(CK_VOID_PTR unused) {
  (void)unused;
  return CKR_OK;
}

static CK_RV hang(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  (void)present;
  (void)slots;
  (void)count;
  sleep(2);
  return CKR_DEVICE_ERROR;
}

static CK_FUNCTION_LIST functions = {
    .version = {2, 40}, .C_Initialize = succeed, .C_Finalize = succeed, .C_GetSlotList = hang};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  *list = &functions;
  return CKR_OK;
}
