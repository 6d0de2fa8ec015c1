# Pages of the banks.
