select world.chain('u11', '88611');
