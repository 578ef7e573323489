type HttpStatus = 400 | 403 | 404 | 405 | 409 | 412 | 413 | 502 | 504;

/**
 * A lever was pulled wrongly: 400 when the request makes no sense, 404 when its subject does not exist, 409 when it is
 * taken. Where a service would answer, its status, and its own number in `errorCode`.
 */
export class CloudError extends Error {
  override readonly name = "CloudError";
  readonly httpStatus: HttpStatus;
  readonly errorCode: number | undefined;

  constructor(httpStatus: HttpStatus, message: string, errorCode?: number) {
    super(message);
    this.httpStatus = httpStatus;
    this.errorCode = errorCode;
  }
}
