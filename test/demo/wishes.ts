/** What the twin wants of the collector, as the story goes on. */
export const wishes = {
  atFirst: { stage: "test", broker: "mqtt.test.example", sampleSeconds: 10 },
  changed: { stage: "test", broker: "mqtt.test.example", sampleSeconds: 2 },
  whileAway: { stage: "test", broker: "mqtt.test.example", sampleSeconds: 5 },
  inProduction: { stage: "production", broker: "mqtt.plant.example", sampleSeconds: 60 },
} as const;
