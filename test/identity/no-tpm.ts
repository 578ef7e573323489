import { LazyTpm } from "../../src/identity/lazy-tpm.ts";

/** For keys that are elsewhere: whoever asks this one hears that it is not there. */
export const noTpm: LazyTpm = new LazyTpm(
  {
    tcti: "device:/nonexistent/tpmrm0",
    ekTemplate: "tcg",
    ekHandle: "0x81010001",
    srkHandle: "0x81000001",
  },
  { workDirectory: "/dev/shm" },
);
