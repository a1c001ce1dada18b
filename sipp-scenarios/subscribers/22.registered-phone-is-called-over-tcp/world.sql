select world.chain('u22', '88622');
select world.subscriber('bob@u22.example', 'u22-customer', 'demo-secret', null);
select world.did('886222000001', 'bob@u22.example');
