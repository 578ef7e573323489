/**
 * Whether DPS takes this as a registration ID: 1 to 128 of `[A-Za-z0-9-._:]`, with a letter, digit or `-` at the end.
 * @see https://learn.microsoft.com/azure/iot-dps/concepts-service#registration-id
 */
export function isRegistrationId(text: string): boolean {
  return /^[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9-]$/.test(text);
}
