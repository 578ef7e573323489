import { Buffer } from "node:buffer";

/*
 * Imported before anything else. mqtt-packet keeps for ever a slice of Node's shared buffer pool for each length of packet it has
 * seen; each slice holds a whole pool of 8 KiB, some 100 MB over the months that an agent runs. Without a pool a slice holds
 * itself.
 */
Buffer.poolSize = 0;
