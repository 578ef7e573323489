import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { TemporaryFolder } from "../platform/temporary-folder.ts";

/**
 * A program that answers as systemctl does for a few units, with their states in files, and keeps a log of what it was asked to change. The
 * real one needs a machine that systemd booted.
 */
export class FakeSystemctl {
  readonly file: string;
  readonly #folder: string;

  constructor(folder: TemporaryFolder) {
    this.#folder = folder.join("systemd");
    this.file = folder.join("systemctl");
    mkdirSync(this.#folder);
    writeFileSync(this.file, script.replaceAll("DIR", this.#folder));
    chmodSync(this.file, 0o755);
  }

  put(unit: string, enabled: string, active: string): void {
    writeFileSync(`${this.#folder}/${unit}`, `${enabled} ${active}\n`);
  }

  state(unit: string): string {
    return readFileSync(`${this.#folder}/${unit}`, "utf8").trim();
  }

  get asked(): readonly string[] {
    const log = `${this.#folder}/log`;
    return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  }
}

const script = `#!/bin/sh
[ "$1" = --no-pager ] && [ "$2" = --no-ask-password ] || exit 64
verb=$3
for unit; do :; done
file=DIR/$unit
if [ "$verb" = show ]; then
  if [ ! -e "$file" ]; then echo LoadState=not-found; echo UnitFileState=; echo ActiveState=inactive; exit 0; fi
  read -r enabled active < "$file"
  echo LoadState=loaded; echo "UnitFileState=$enabled"; echo "ActiveState=$active"
  exit 0
fi
read -r enabled active < "$file"
echo "$verb $unit" >> DIR/log
case $verb in
  enable) enabled=enabled ;;
  disable) enabled=disabled ;;
  start|restart) [ "$unit" = broken.service ] && { echo "Job for broken.service failed." >&2; exit 1; }; active=active ;;
  stop) active=inactive ;;
esac
echo "$enabled $active" > "$file"
`;
