select world.chain('u13', '88613');
