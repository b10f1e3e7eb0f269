from flows.cli.entry import main

main()
