from daypart.flows.cli.entry import main

main()
