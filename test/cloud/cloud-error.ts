/** A lever was pulled wrongly: 400 when the request makes no sense, 404 when its subject does not exist, 409 when it is taken. */
export class CloudError extends Error {
  override readonly name = "CloudError";
  readonly httpStatus: 400 | 404 | 405 | 409;

  constructor(httpStatus: 400 | 404 | 405 | 409, message: string) {
    super(message);
    this.httpStatus = httpStatus;
  }
}
